"""The normal values of CUDA: Philox by its published answers, the kernel by its twin, and the law and its cuts."""

import numpy as np
import pytest
import torch
from scipy import stats

from layerbits.kernels import NormalStream, reference
from tests.cuda.kernels.test_cuda_kernels import BOTH_DTYPES, BOTH_KINDS, DEVICE, needs_emulation, verbs

# Keys of which words are 0, and all ones.
KEYS = [0, 1, 2**32, 2**64 - 1, 0x123456789ABCDEF]


def values_of(kind, dtype, count, keys=(3,), first=0):
    values = np.full((len(keys), count), np.nan, dtype)
    verbs(kind).standard_normal(values, list(keys), first)
    return values


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_published_words(counter, key, words):
    """The known answers of philox4x32 with 10 rounds in Random123, the library of the method's authors."""
    given, low_and_high, wanted = ([int(word, 16) for word in text.split()] for text in (counter, key, words))
    assert reference.philox(tuple(low_and_high), np.array([given], np.uint32)).tolist() == [wanted]


@BOTH_KINDS
@BOTH_DTYPES
@pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 2**34 + 3, 2**62 + 5])
def test_kernel_gives_the_values_of_its_twin(kind, dtype, first):
    """Within an ulp of the logarithm, of which the root halves the error, half an ulp of root and product, two of
    sine and cosine: 3.5 eps. In float64 the twin errs by half an ulp of each, and by one of the product with pi.
    """
    got = values_of(kind, dtype, 3001, KEYS, first)
    for values, key in zip(got, KEYS, strict=True):
        wanted = reference.standard_normal(3001, dtype, key, first)
        bound = (4 if dtype == np.float32 else 7) * np.finfo(dtype).eps * np.abs(wanted)
        assert (np.abs(values - wanted) <= bound).all()


@BOTH_KINDS
@BOTH_DTYPES
def test_no_value_depends_on_how_the_stream_is_cut(kind, dtype):
    whole = values_of(kind, dtype, 3000, KEYS)
    generator = np.random.default_rng(0)
    for cuts in (np.sort(generator.integers(0, 3001, 12)) for _ in range(5)):
        for begin, end in zip([0, *cuts], [*cuts, 3000], strict=True):
            part = values_of(kind, dtype, end - begin, KEYS, int(begin))
            np.testing.assert_array_equal(part, whole[:, begin:end])


@BOTH_KINDS
@BOTH_DTYPES
def test_more_streams_than_fit_a_launch_are_each_their_own(kind, dtype):
    keys = list(range(300))
    together = values_of(kind, dtype, 7, keys, 1)
    for key in (0, 127, 128, 299):
        np.testing.assert_array_equal(together[key], values_of(kind, dtype, 7, [key], 1)[0])
    assert len(np.unique(together[:, 0])) == 300  # no two of 300 are equal, but with a probability below 300^2 / 2^24


@BOTH_KINDS
@BOTH_DTYPES
def test_rows_of_any_stride_are_filled_and_nothing_else(kind, dtype):
    if kind == "device":
        pytest.skip("arrays travel to the device without what lies between")
    around = np.full((5, 2, 41), 7, dtype)
    inside = around[1:4, 1, 2:39:2]
    verbs(kind).standard_normal(inside, [0, 1, 2], 5)
    np.testing.assert_array_equal(inside, values_of(kind, dtype, inside.shape[1], [0, 1, 2], 5))
    inside[...] = 7
    assert (around == 7).all()


@BOTH_KINDS
def test_no_streams_are_nothing_to_do(kind):
    verbs(kind).standard_normal(np.zeros((0, 5)), [], 3)


@BOTH_KINDS
@BOTH_DTYPES
def test_values_are_standard_normal(kind, dtype):
    """Kolmogorov and Smirnov's distance of 400,000 values below its quantile at 1e-6, of all, of squared lengths of
    pairs, and of the sums of neighbours at distances 1, 2 and 4; mean, variance and kurtosis by their standard errors.
    """
    values = values_of(kind, dtype, 400_000, [42])[0].astype(np.float64)
    pairs = values.reshape(-1, 2)
    assert stats.kstest(values, "norm").pvalue > 1e-6
    assert stats.kstest((pairs**2).sum(1), "chi2", args=(2,)).pvalue > 1e-6
    for lag in (1, 2, 4):
        sums = values.reshape(-1, 2 * lag)[:, 0] + values.reshape(-1, 2 * lag)[:, lag]
        assert stats.kstest(sums / 2**0.5, "norm").pvalue > 1e-6
    n, quantile = len(values), stats.norm.isf(1e-6 / 2)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((values**power).mean() - moment) <= quantile * (variance / n) ** 0.5


@BOTH_KINDS
@BOTH_DTYPES
def test_neighbours_and_streams_are_uncorrelated(kind, dtype):
    """The correlation of n independent pairs has variance 1 / n; so has that of squares, to O(1 / n)."""
    values = values_of(kind, dtype, 100_000, [0, 1, 2, 2**32, 2**63]).astype(np.float64)
    shifted = np.stack([values[0, lag : lag + 90_000] for lag in range(9)])
    for columns in (values, shifted):
        for some in (columns, columns**2):
            among = np.corrcoef(some) - np.eye(len(some))
            assert np.abs(among).max() <= stats.norm.isf(1e-7) / 90_000**0.5


@BOTH_KINDS
@BOTH_DTYPES
@pytest.mark.parametrize(
    ("keys", "first", "message"),
    [
        ([1, 2], 0, r"^keys: got 2, wanted 3, one for each row of `values`$"),
        ([1, 2, 3], -1, r"^first: got -1, wanted a number >= 0$"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kind, dtype, keys, first, message):
    with pytest.raises(ValueError, match=message):
        verbs(kind).standard_normal(np.zeros((3, 4), dtype), keys, first)


@needs_emulation
def test_values_of_other_kinds_are_refused_by_name():
    with pytest.raises(TypeError, match=r"^values: got dtype int64"):
        verbs("emulated").standard_normal(np.zeros((1, 4), np.int64), [1], 0)
    with pytest.raises(ValueError, match=r"^values: "):
        verbs("emulated").standard_normal(np.zeros(4), [1], 0)


@pytest.mark.cuda
@pytest.mark.skipif(not DEVICE.usable, reason=DEVICE.reason or "usable")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_stream_goes_on_where_it_was(dtype):
    whole = NormalStream(1, 2, 3).like(torch.empty(50, 7, dtype=dtype, device="cuda"))
    stream = NormalStream(1, 2, 3)
    parts = [stream.like(torch.empty(rows, 7, dtype=dtype, device="cuda")) for rows in (1, 30, 19)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(NormalStream(1, 2, 4).like(whole), whole)
