"""Standard normal values of CUDA.

Philox is compared with its published words, the kernel with the Python version, and the values with the normal law.
"""

import numpy as np
import pytest
from scipy import stats

from layerbits.kernels import reference
from tests.cuda.support.kernel_tests import BOTH_DTYPES, BOTH_KINDS, kernels_of, needs_emulation

# Some keys have a word of 0; one has all bits set.
KEYS = [0, 1, 2**32, 2**64 - 1, 0x123456789ABCDEF]


def values_of(kind, dtype, count, keys=(3,), first=0):
    values = np.full((len(keys), count), np.nan, dtype)
    kernels_of(kind).standard_normal(values, list(keys), first)
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
    """The words are the known answers of philox4x32-10 in Random123, the library of the method's authors."""
    counter_words, key_words, expected = ([int(word, 16) for word in text.split()] for text in (counter, key, words))
    assert reference.philox(tuple(key_words), np.array([counter_words], np.uint32)).tolist() == [expected]


@BOTH_KINDS
@BOTH_DTYPES
@pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 2**34 + 3, 2**62 + 5])
def test_kernel_computes_the_values_of_the_python_version(kind, dtype, first):
    """The bounds are sums of relative errors: 3.5 eps of the kernel and, in float64, 3.2 eps of the Python version.

    The root halves the error of the logarithm, which is at most an ulp, so that logarithm, root and product add half an
    eps each. Sine and cosine add 2 eps in the kernel (CUDA Programming Guide: at most 2 ulp), and 1 eps in NumPy, whose
    angle has an error of 0.7 eps from pi and the product with pi. In float32 the error of the Python version, which
    computes in float64, is below 1e-8 eps. The sums are rounded up.
    """
    values = values_of(kind, dtype, 3001, KEYS, first)
    for row, key in zip(values, KEYS, strict=True):
        expected = reference.standard_normal(3001, dtype, key, first)
        bound = (4 if dtype == np.float32 else 7) * np.finfo(dtype).eps * np.abs(expected)
        assert (np.abs(row - expected) <= bound).all()


@BOTH_KINDS
@BOTH_DTYPES
def test_value_does_not_depend_on_the_division_of_the_stream_into_calls(kind, dtype):
    values = values_of(kind, dtype, 3000, KEYS)
    generator = np.random.default_rng(0)
    for cuts in (np.sort(generator.integers(0, 3001, 12)) for _ in range(5)):
        for begin, end in zip([0, *cuts], [*cuts, 3000], strict=True):
            part = values_of(kind, dtype, end - begin, KEYS, int(begin))
            np.testing.assert_array_equal(part, values[:, begin:end])


@BOTH_KINDS
@BOTH_DTYPES
def test_more_streams_than_a_launch_takes_have_their_own_values(kind, dtype):
    keys = list(range(300))
    values = values_of(kind, dtype, 7, keys, 1)
    for key in (0, 127, 128, 299):
        np.testing.assert_array_equal(values[key], values_of(kind, dtype, 7, [key], 1)[0])
    assert len(np.unique(values[:, 0])) == 300  # equal values have a probability below 300^2 / 2^24


@BOTH_KINDS
@BOTH_DTYPES
def test_memory_between_the_values_of_a_strided_view_is_not_written(kind, dtype):
    if kind == "device":
        pytest.skip("a copy to the device omits the memory between values")
    array = np.full((5, 2, 41), 7, dtype)
    view = array[1:4, 1, 2:39:2]
    kernels_of(kind).standard_normal(view, [0, 1, 2], 5)
    np.testing.assert_array_equal(view, values_of(kind, dtype, view.shape[1], [0, 1, 2], 5))
    view[...] = 7
    assert (array == 7).all()


@BOTH_KINDS
def test_empty_list_of_streams_is_accepted(kind):
    kernels_of(kind).standard_normal(np.zeros((0, 5)), [], 3)


@BOTH_KINDS
@BOTH_DTYPES
def test_values_are_standard_normal(kind, dtype):
    """Values, squared lengths of pairs, and sums of two values 1, 2 and 4 positions apart have the expected laws.

    Kolmogorov-Smirnov tests are at the level 1e-6. The errors of four moments are below their standard errors times the
    two-sided normal quantile at 1e-6.
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
    """The correlations of n pairs, and of their squares, have variance 1 / n, up to a factor 1 + O(1 / n).

    Two pairs of neighbours may share a value, but their products are uncorrelated. n is 100,000 for the streams and
    90,000 for the neighbours; the bound is that of the smaller n.
    """
    values = values_of(kind, dtype, 100_000, [0, 1, 2, 2**32, 2**63]).astype(np.float64)
    lagged_values = np.stack([values[0, lag : lag + 90_000] for lag in range(9)])
    for columns in (values, lagged_values):
        for powers in (columns, columns**2):
            correlations = np.corrcoef(powers) - np.eye(len(powers))
            assert np.abs(correlations).max() <= stats.norm.isf(1e-7) / 90_000**0.5


@BOTH_KINDS
@BOTH_DTYPES
@pytest.mark.parametrize(
    ("keys", "first", "message"),
    [
        ([1, 2], 0, r"^keys: got 2, wanted 3, one for each row of `values`$"),
        ([1, 2, 3], -1, r"^first: got -1, wanted a number >= 0$"),
    ],
)
def test_wrong_keys_and_positions_are_refused_by_name(kind, dtype, keys, first, message):
    with pytest.raises(ValueError, match=message):
        kernels_of(kind).standard_normal(np.zeros((3, 4), dtype), keys, first)


@needs_emulation
def test_wrong_arrays_are_refused_by_name():
    with pytest.raises(TypeError, match=r"^values: got dtype int64"):
        kernels_of("emulated").standard_normal(np.zeros((1, 4), np.int64), [1], 0)
    with pytest.raises(ValueError, match=r"^values: got shape \(4,\)"):
        kernels_of("emulated").standard_normal(np.zeros(4), [1], 0)
