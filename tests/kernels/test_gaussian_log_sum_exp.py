"""The log-sum-exp over Gaussians with covariances of their own: its error, its bits, its special values, its border."""

import math
import re

import mpmath
import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu, reference
from layerbits.kernels import operations as kernels
from tests.support.exact_mixture import DTYPES, LEVELS, eps
from tests.support.exact_mixture import allowed as allowed_of_mixture
from tests.support.exact_mixture import truth as truth_of_mixture

EVERY_LEVEL = pytest.mark.parametrize("level", LEVELS)
BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)


def native(points, means, factors, offsets, **options):
    """What the core says, (m,) float64."""
    log_sum = np.full(len(points), 7.0)
    _cpu.log_sum_exp_full(points, means, factors, offsets, log_sum, **options)
    return log_sum


def problem(m, n, d, dtype=np.float64, *, scale=1.0, seed=0):
    """Points, means, factors with large numbers above the diagonal, offsets; exponents of the order of d scale^2."""
    generator = np.random.default_rng(seed)
    factors = generator.standard_normal((n, d, d)) / d**0.5 + np.eye(d)
    factors = scale * np.where(np.tri(d, dtype=bool), factors, 1e9)
    arrays = generator.standard_normal((m, d)), generator.standard_normal((n, d)), factors, generator.normal(size=n)
    return [array.astype(dtype) for array in arrays]


def truth(points, means, factors, offsets):
    """The log-sum (m,) in more digits, and what the contract allows (m,)."""
    d = points.shape[1]
    points, means, factors, offsets = (array.astype(np.longdouble) for array in (points, means, factors, offsets))
    differences = points[:, None] - means
    triangles = np.tril(factors)
    whitened = np.einsum("nij,mnj->mni", triangles, differences)
    sizes = np.einsum("nij,mnj->mni", np.abs(triangles), np.abs(differences))
    relative = offsets - offsets.max() - (whitened**2).sum(-1) / 2
    largest = relative.max(1, keepdims=True)
    p = np.exp(relative - largest)
    log_sum = offsets.max() + largest[:, 0] + np.log(p.sum(1))
    p /= p.sum(1, keepdims=True)
    cancelled = (p * (np.abs(whitened) * sizes).sum(-1)).sum(1)
    return log_sum, (5 + d / 2) * (1 + (p * np.abs(relative)).sum(1)) + (1 + d / 2) * cancelled


def excess(points, means, factors, offsets, **options):
    """Largest error in units of what is allowed; infinite for NaN."""
    want, allowed = truth(points, means, factors, offsets)
    error = np.abs(native(points, means, factors, offsets, **options) - want) - 2.0**-53 * np.abs(want)
    ratio = error / (allowed * eps(points.dtype))
    return float(np.where(np.isnan(ratio), np.inf, ratio).max())


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [*range(1, 14), 31, 32, 33, 64, 200])
def test_error_is_within_the_contract_at_every_width(level, dtype, d):
    assert excess(*problem(21, 27, d, dtype), level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("m", [1, 7, 8, 9, 31, 32, 33, 63, 65, 129])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 17])
def test_no_tail_of_rows_or_components_is_lost(level, dtype, m, n):
    assert excess(*problem(m, n, 3, dtype), level=level) <= 1


@pytest.mark.parametrize("d", [1, 10])
def test_no_tail_of_a_chunk_is_lost(d):
    # A chunk has 2^15 numbers; a component of d = 10 has 78, so that 5000 are several.
    assert excess(*problem(9, 5003, d), threads=2) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("scale", [0.01, 1, 30, 1e3, 1e5])
@pytest.mark.parametrize("d", [2, 5, 10])
def test_far_components_keep_the_contract(level, dtype, scale, d):
    # The larger, the fewer rows of a factor tell that a term is 0; past 2^22 and 2^51 exponents round to whole numbers.
    points, means, factors, offsets = problem(40, 60, d, dtype, scale=scale)
    points[::2] = means[: len(points[::2])]
    assert excess(points, means, factors, offsets, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("order", ["near first", "near last"])
def test_order_of_near_and_far_components_does_not_matter(level, dtype, order):
    points, means, factors, offsets = problem(33, 200, 6, dtype)
    means *= np.linspace(0.01, 60, 200, dtype=dtype)[:: 1 if order == "near first" else -1, None]
    assert excess(points, means, factors, offsets, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
def test_nearly_singular_covariances_keep_the_contract(level, dtype):
    # Correlations of 1 - 1e-6: terms of 1000 cancel to 1.
    covariance = (1 - 1e-6) * np.ones((4, 4)) + 1e-6 * np.eye(4)
    root = np.linalg.cholesky(covariance)
    means = np.random.default_rng(0).standard_normal((50, 4)) @ root.T
    points = means[:20] + np.random.default_rng(1).standard_normal((20, 4)) @ root.T
    factors = np.broadcast_to(np.linalg.inv(root), (50, 4, 4))
    assert excess(*(array.astype(dtype) for array in (points, means, factors, np.zeros(50))), level=level) <= 1


@EVERY_LEVEL
def test_offsets_of_any_size_keep_the_contract(level):
    points, means, factors, _ = problem(20, 50, 3)
    for offsets in (np.linspace(-800, 700, 50), np.linspace(1e6, 1e6 + 5, 50), np.full(50, -1e300)):
        assert excess(points, means, factors, offsets, level=level) <= 1


def test_truth_agrees_with_fifty_digits():
    points, means, factors, offsets = problem(1, 4, 3)
    with mpmath.workdps(50):
        exponents = []
        for mean, factor, offset in zip(means, np.tril(factors), offsets, strict=True):
            difference = [mpmath.mpf(float(x)) - float(c) for x, c in zip(points[0], mean, strict=True)]
            rows = [mpmath.fsum(float(v) * z for v, z in zip(row, difference, strict=True)) for row in factor]
            exponents.append(float(offset) - mpmath.fsum(y**2 for y in rows) / 2)
        want = mpmath.log(mpmath.fsum(map(mpmath.exp, exponents)))
        exact, allowed = truth(points, means, factors, offsets)
        assert abs(mpmath.mpf(str(exact[0])) - want) <= mpmath.mpf(2) ** -63 * float(allowed[0])


@BOTH_DTYPES
def test_twin_and_core_agree(dtype):
    arrays = problem(40, 70, 6, dtype)
    _, allowed = truth(*arrays)
    # The twin is plain float64: the same products, and a plain sum of 70 terms.
    assert (
        np.abs(native(*arrays) - reference.log_sum_exp_full(*arrays)) <= allowed * eps(dtype) + 2**-52 * 80 * allowed
    ).all()


@BOTH_DTYPES
def test_equal_round_covariances_agree_with_the_log_sum_exp_of_a_mixture(dtype):
    points, means, _, _ = problem(40, 70, 6, dtype)
    factors = np.broadcast_to(np.eye(6, dtype=dtype) * 4, (70, 6, 6))
    arrays = points, means, factors, np.zeros(70, dtype)
    mixture, size = truth_of_mixture(points, means, 0.25)
    _, allowed = truth(*arrays)
    assert (np.abs(native(*arrays) - mixture) <= allowed * eps(dtype) + allowed_of_mixture(size, 6, dtype)).all()


def test_density_of_one_gaussian_is_that_of_its_covariance():
    # A rotation of variances 1, 4, 9 by an orthogonal matrix; log det = log 36.
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    covariance = rotation * [1, 4, 9] @ rotation.T
    factor = np.linalg.inv(np.linalg.cholesky(covariance))
    points = np.random.default_rng(1).standard_normal((5, 3))
    offset = -1.5 * math.log(2 * math.pi) - math.log(36) / 2
    got = native(points, np.zeros((1, 3)), factor[None], np.array([offset]))
    want = offset - ((points @ rotation) ** 2 / [1, 4, 9]).sum(1) / 2
    # Factors and products of condition 9 in some ten operations each.
    np.testing.assert_allclose(got, want, rtol=0, atol=2**-52 * 9 * 10 * (1 + np.abs(want).max()))


# The same bits


@BOTH_DTYPES
@pytest.mark.parametrize(("m", "n", "d"), [(700, 300, 3), (5, 9000, 6), (40, 300, 40)])
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_number_of_threads_changes_no_bit(dtype, m, n, d, threads):
    arrays = problem(m, n, d, dtype)
    np.testing.assert_array_equal(native(*arrays, threads=threads), native(*arrays))


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [3, 4, 10])
@pytest.mark.parametrize("scale", [1, 10, 30, 1e3, 1e9])
def test_row_alone_equals_row_in_batch(level, dtype, d, scale):
    # Lanes of a tile differ: what is 0 for one after a row of a factor, another needs.
    points, means, factors, offsets = problem(70, 90, d, dtype, scale=scale)
    points[::5] = means[: len(points[::5])]
    batch = native(points, means, factors, offsets, level=level)
    alone = [native(points[i : i + 1], means, factors, offsets, level=level)[0] for i in range(70)]
    np.testing.assert_array_equal(batch, alone)


@pytest.mark.skipif(not {"avx2", "avx512"} <= set(LEVELS), reason="needs a machine with AVX2 and AVX-512")
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 2, 3, 4, 10, 33])
@pytest.mark.parametrize("scale", [0.1, 1, 30, 1e5])
def test_avx2_and_avx512_agree_in_bits(dtype, d, scale):
    arrays = problem(70, 90, d, dtype, scale=scale)
    np.testing.assert_array_equal(native(*arrays, level="avx2"), native(*arrays, level="avx512"))


@BOTH_DTYPES
def test_memory_layout_changes_no_bit(dtype):
    arrays = problem(19, 45, 5, dtype)
    want = native(*arrays)
    backwards = [np.flip(np.flip(array).copy()) for array in arrays]
    transposed = [np.ascontiguousarray(array.T).T for array in arrays]
    apart = [np.repeat(array, 2, axis=0)[::2] for array in arrays]
    for other in (backwards, transposed, apart, [torch.from_numpy(array) for array in arrays]):
        np.testing.assert_array_equal(native(*other), want)


@BOTH_DTYPES
def test_what_is_above_the_diagonal_changes_nothing(dtype):
    points, means, factors, offsets = problem(19, 45, 5, dtype)
    above = np.where(np.tri(5, dtype=bool), factors, dtype(np.nan))
    np.testing.assert_array_equal(native(points, means, above, offsets), native(points, means, factors, offsets))


# Special values


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("row", [0, 7, 16, 32])
@pytest.mark.parametrize(("value", "result"), [(np.nan, np.nan), (np.inf, -np.inf), (-np.inf, -np.inf)])
def test_point_that_is_not_finite_stays_in_its_row(level, dtype, row, value, result):
    points, *gaussians = problem(33, 21, 5, dtype, scale=30)
    want = native(points, *gaussians, level=level)
    points[row, 4], want[row] = value, result
    np.testing.assert_array_equal(native(points, *gaussians, level=level), want)


@EVERY_LEVEL
@pytest.mark.parametrize("argument", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 7, 20])
def test_nan_among_the_gaussians_makes_every_row_nan(level, argument, place):
    # Even of a Gaussian so far that no term of it would be looked at.
    arrays = problem(9, 21, 5)
    arrays[1][place] += 1e6
    arrays[argument][(place, *[-1] * (arrays[argument].ndim - 1))] = np.nan
    arrays[0][3] = np.inf
    assert np.isnan(native(*arrays, level=level)).all()


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("place", [0, 7, 8, 20])
@pytest.mark.parametrize(("argument", "value"), [(1, np.inf), (1, -np.inf), (2, np.inf), (2, -np.inf), (3, -np.inf)])
def test_gaussian_that_weighs_nothing_is_as_if_not_there(level, dtype, place, argument, value):
    arrays = problem(33, 21, 3, dtype)
    others = [arrays[0], *(np.delete(array, place, axis=0) for array in arrays[1:])]
    # All of a mean, or of the last row of a factor: infinities of both signs meet in a product.
    arrays[argument][(place, -1)[: max(1, arrays[argument].ndim - 1)]] = value
    want, allowed = truth(*others)
    assert (np.abs(native(*arrays, level=level) - want) <= allowed * eps(dtype)).all()


@EVERY_LEVEL
@BOTH_DTYPES
def test_empty_sums_are_minus_infinity(level, dtype):
    points, means, factors, offsets = problem(5, 9, 3, dtype)
    assert (native(points, means[:0], factors[:0], offsets[:0], level=level) == -np.inf).all()
    assert (native(points, means, factors, np.full_like(offsets, -np.inf), level=level) == -np.inf).all()
    assert native(points[:0], means, factors, offsets, level=level).shape == (0,)


@EVERY_LEVEL
@BOTH_DTYPES
def test_factor_of_zero_leaves_the_offset(level, dtype):
    points, means, factors, offsets = problem(5, 1, 3, dtype)
    assert (native(points, means, 0 * factors, offsets, level=level) == offsets.astype(float)).all()


@EVERY_LEVEL
@BOTH_DTYPES
def test_smallest_numbers_are_taken(level, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    points, means, factors, offsets = problem(9, 9, 3, dtype)
    assert excess(points, means, factors, offsets * tiny, level=level) <= 1
    # |factor (point - mean)|^2 is below any number, so the terms are 1.
    got = native(np.full_like(points, tiny), 0 * means, factors, 0 * offsets, level=level)
    assert (np.abs(got - math.log(9)) <= eps(dtype) * 5 * (1 + math.log(9))).all()


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("argument", [0, 1, 2])
def test_products_beyond_the_dtype_are_refused_and_named(level, dtype, argument):
    arrays = problem(9, 9, 3, dtype)
    arrays[argument][(5, *[0] * (arrays[argument].ndim - 1))] = np.finfo(dtype).max
    with pytest.raises(ValueError, match=r"^points: got finite values whose products with the factors"):
        native(*arrays, level=level)


@BOTH_DTYPES
def test_differences_beyond_the_dtype_are_refused_and_named(dtype):
    points, means, factors, offsets = problem(9, 9, 3, dtype, scale=2.0**-60)
    points[5], means[5] = np.finfo(dtype).max, -np.finfo(dtype).max
    with pytest.raises(ValueError, match=r"^points: got finite values whose products with the factors"):
        native(points, means, factors, offsets)


@EVERY_LEVEL
@BOTH_DTYPES
def test_distances_beyond_the_dtype_weigh_nothing(level, dtype):
    points, means, factors, offsets = problem(9, 9, 3, dtype)
    means[4] = 2.0 ** (np.finfo(dtype).maxexp * 0.6)
    others = [points, *(np.delete(array, 4, axis=0) for array in (means, factors, offsets))]
    want, allowed = truth(*others)
    assert (np.abs(native(points, means, factors, offsets, level=level) - want) <= allowed * eps(dtype) * 2).all()
    assert (native(points, means[4:5], factors[4:5], offsets[4:5], level=level) == -np.inf).all()


# The border

NAMES = ["points", "means", "factors", "offsets", "log_sum"]


def refuses(error, name, **changes):
    good = dict(zip(NAMES, [*problem(5, 4, 3), np.zeros(5)], strict=True))
    with pytest.raises(error, match=f"^{re.escape(name)}: "):
        _cpu.log_sum_exp_full(**good | changes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [[[0.0]], None, 3, "text", np.zeros((5, 3), np.int64), np.zeros(5, np.complex128)])
def test_what_is_no_array_of_floats_is_refused(name, value):
    refuses(TypeError, name, **{name: value})


@pytest.mark.parametrize(
    ("name", "shape"),
    [("means", (4, 2)), ("factors", (4, 9)), ("factors", (4, 3, 2)), ("factors", (5, 3, 3)), ("offsets", (5,)),
     ("offsets", (4, 1)), ("log_sum", (4,)), ("points", (5,))],
)  # fmt: skip
def test_size_that_does_not_match_is_refused(name, shape):
    refuses(ValueError, name, **{name: np.zeros(shape)})


@pytest.mark.parametrize("name", NAMES[1:])
def test_float32_beside_float64_points_is_refused(name):
    refuses(TypeError, name, **{name: np.zeros({"means": (4, 3), "factors": (4, 3, 3)}.get(name, 4), np.float32)})


def test_offset_of_infinity_is_refused():
    refuses(ValueError, "offsets", offsets=np.array([0, 0, np.inf, 0]))


def test_output_that_is_read_only_is_refused():
    log_sum = np.zeros(5)
    log_sum.flags.writeable = False
    refuses(ValueError, "log_sum", log_sum=log_sum)


def test_nothing_beyond_the_output_is_written_and_no_input():
    arrays = problem(17, 9, 3)
    before = [array.copy() for array in arrays]
    room = np.full(19, 7.0)
    _cpu.log_sum_exp_full(*arrays, room[1:-1])
    assert room[0] == room[-1] == 7
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_door_in_python_gives_what_the_core_says():
    arrays = problem(17, 9, 3)
    got = kernels.log_sum_exp_full(*(torch.from_numpy(array).requires_grad_() for array in arrays))
    np.testing.assert_array_equal(got.numpy(), native(*arrays))
