"""The log-sum-exp over components with full covariances: error bound and bits."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch

from layerbits.kernels import log_sum_exp_full as public_log_sum_exp_full
from layerbits.kernels import reference
from tests.support.exact_gaussians import exact_full_log_sums, full_error_ratio, gaussian_problem
from tests.support.exact_mixture import eps, error_bound, exact_log_sums
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, NEEDS_AVX2_AND_AVX512, log_sum_exp_full


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [*range(1, 10), 31, 32, 33, 200])
def test_error_is_within_the_bound_in_1_to_200_dimensions(level, dtype, d):
    assert full_error_ratio(*gaussian_problem(21, 27, d, dtype), level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
def test_error_is_within_the_bound_for_every_tail_of_points_and_components(level, dtype):
    for m, n in itertools.product([1, 7, 8, 9, 31, 32, 33, 63, 65, 129], [1, 7, 8, 9, 17]):
        assert full_error_ratio(*gaussian_problem(m, n, 3, dtype), level=level) <= 1, (m, n)


@pytest.mark.parametrize("d", [1, 10])
def test_error_is_within_the_bound_for_the_tail_of_a_chunk(d):
    # A chunk has 2^15 numbers; a component of d = 10 has 78, so that 5003 components are several chunks.
    assert full_error_ratio(*gaussian_problem(9, 5003, d), threads=2) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("scale", [0.01, 1, 30, 1e3, 1e5])
@pytest.mark.parametrize("d", [2, 5, 10])
def test_error_is_within_the_bound_for_distant_components(level, dtype, scale, d):
    # The larger the scale, the fewer rows of a factor show that a term is 0. Exponents beyond 2^22 (float32) and 2^51
    # (float64) have rounding errors above 1.
    points, centers, factors, offsets = gaussian_problem(40, 60, d, dtype, scale=scale)
    points[::2] = centers[: len(points[::2])]
    assert full_error_ratio(points, centers, factors, offsets, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("order", ["near first", "near last"])
def test_error_is_within_the_bound_for_any_order_of_near_and_distant_components(level, dtype, order):
    points, centers, factors, offsets = gaussian_problem(33, 200, 6, dtype)
    centers *= np.linspace(0.01, 60, 200, dtype=dtype)[:: 1 if order == "near first" else -1, None]
    assert full_error_ratio(points, centers, factors, offsets, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
def test_error_is_within_the_bound_for_nearly_singular_covariances(level, dtype):
    # Terms of 1000 cancel to 1, because correlations are 1 - 1e-6.
    covariance = (1 - 1e-6) * np.ones((4, 4)) + 1e-6 * np.eye(4)
    root = np.linalg.cholesky(covariance)
    centers = np.random.default_rng(0).standard_normal((50, 4)) @ root.T
    points = centers[:20] + np.random.default_rng(1).standard_normal((20, 4)) @ root.T
    factors = np.broadcast_to(np.linalg.inv(root), (50, 4, 4))
    arrays = (array.astype(dtype) for array in (points, centers, factors, np.zeros(50)))
    assert full_error_ratio(*arrays, level=level) <= 1


@EVERY_LEVEL
def test_error_is_within_the_bound_for_offsets_of_any_size(level):
    points, centers, factors, _ = gaussian_problem(20, 50, 3)
    for offsets in (np.linspace(-800, 700, 50), np.linspace(1e6, 1e6 + 5, 50), np.full(50, -1e300)):
        assert full_error_ratio(points, centers, factors, offsets, level=level) <= 1


def test_exact_values_agree_with_fifty_digits():
    points, centers, factors, offsets = gaussian_problem(1, 4, 3)
    with mpmath.workdps(50):
        exponents = []
        for center, factor, offset in zip(centers, np.tril(factors), offsets, strict=True):
            difference = [mpmath.mpf(float(x)) - float(c) for x, c in zip(points[0], center, strict=True)]
            rows = [mpmath.fsum(float(v) * z for v, z in zip(row, difference, strict=True)) for row in factor]
            exponents.append(float(offset) - mpmath.fsum(y**2 for y in rows) / 2)
        expected = mpmath.log(mpmath.fsum(map(mpmath.exp, exponents)))
        exact, bound = exact_full_log_sums(points, centers, factors, offsets)
        assert abs(mpmath.mpf(str(exact[0])) - expected) <= mpmath.mpf(2) ** -63 * float(bound[0])


@BOTH_DTYPES
def test_reference_and_kernel_agree(dtype):
    arrays = gaussian_problem(40, 70, 6, dtype)
    _, bound = exact_full_log_sums(*arrays)
    error = np.abs(log_sum_exp_full(*arrays) - reference.log_sum_exp_full(*arrays))
    # The reference computes the same products in float64, and adds 70 terms in turn.
    assert (error <= bound * eps(dtype) + 2**-52 * 80 * bound).all()


@BOTH_DTYPES
def test_isotropic_covariances_agree_with_the_isotropic_log_sum_exp(dtype):
    points, centers, _, _ = gaussian_problem(40, 70, 6, dtype)
    factors = np.broadcast_to(np.eye(6, dtype=dtype) * 4, (70, 6, 6))
    arrays = points, centers, factors, np.zeros(70, dtype)
    isotropic, mean_exponent = exact_log_sums(points, centers, 0.25)
    _, bound = exact_full_log_sums(*arrays)
    error = np.abs(log_sum_exp_full(*arrays) - isotropic)
    assert (error <= bound * eps(dtype) + error_bound(mean_exponent, 6, dtype)).all()


def test_log_sum_of_one_component_is_its_log_density():
    # An orthogonal rotation of the variances 1, 4, 9; log det = log 36.
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    covariance = rotation * [1, 4, 9] @ rotation.T
    factor = np.linalg.inv(np.linalg.cholesky(covariance))
    points = np.random.default_rng(1).standard_normal((5, 3))
    offset = -1.5 * math.log(2 * math.pi) - math.log(36) / 2
    log_density = log_sum_exp_full(points, np.zeros((1, 3)), factor[None], np.array([offset]))
    expected = offset - ((points @ rotation) ** 2 / [1, 4, 9]).sum(1) / 2
    # Factors and products have condition 9 and about ten roundings each.
    tolerance = 2**-52 * 9 * 10 * (1 + np.abs(expected).max())
    np.testing.assert_allclose(log_density, expected, rtol=0, atol=tolerance)


@pytest.mark.cpu_only("threads")
@BOTH_DTYPES
@pytest.mark.parametrize(("m", "n", "d"), [(700, 300, 3), (5, 9000, 6), (40, 300, 40)])
def test_number_of_threads_changes_no_bit(dtype, m, n, d):
    arrays = gaussian_problem(m, n, d, dtype)
    expected = log_sum_exp_full(*arrays)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(log_sum_exp_full(*arrays, threads=threads), expected)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [3, 4, 10])
@pytest.mark.parametrize("scale", [1, 10, 30, 1e3, 1e9])
def test_row_alone_equals_row_in_batch(level, dtype, d, scale):
    # A term may be known to be 0 in one lane of a tile after a row of its factor, and needed in another lane.
    points, centers, factors, offsets = gaussian_problem(70, 90, d, dtype, scale=scale)
    points[::5] = centers[: len(points[::5])]
    batch = log_sum_exp_full(points, centers, factors, offsets, level=level)
    log_sums_of_rows = [
        log_sum_exp_full(points[i : i + 1], centers, factors, offsets, level=level)[0] for i in range(70)
    ]
    np.testing.assert_array_equal(batch, log_sums_of_rows)


@NEEDS_AVX2_AND_AVX512
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 2, 3, 4, 10, 33])
def test_avx2_and_avx512_agree_in_bits(dtype, d):
    for scale in (0.1, 1, 30, 1e5):
        arrays = gaussian_problem(70, 90, d, dtype, scale=scale)
        avx2, avx512 = (log_sum_exp_full(*arrays, level=level) for level in ("avx2", "avx512"))
        np.testing.assert_array_equal(avx2, avx512, err_msg=f"scale {scale}")


@BOTH_DTYPES
def test_memory_layout_changes_no_bit(dtype):
    arrays = gaussian_problem(19, 45, 5, dtype)
    expected = log_sum_exp_full(*arrays)
    reversed_arrays = [np.flip(np.flip(array).copy()) for array in arrays]
    transposed_arrays = [np.ascontiguousarray(array.T).T for array in arrays]
    strided_arrays = [np.repeat(array, 2, axis=0)[::2] for array in arrays]
    for layout in (reversed_arrays, transposed_arrays, strided_arrays, [torch.from_numpy(array) for array in arrays]):
        np.testing.assert_array_equal(log_sum_exp_full(*layout), expected)


@BOTH_DTYPES
def test_entries_above_the_diagonal_change_nothing(dtype):
    points, centers, factors, offsets = gaussian_problem(19, 45, 5, dtype)
    with_nan = np.where(np.tri(5, dtype=bool), factors, dtype(np.nan))
    np.testing.assert_array_equal(
        log_sum_exp_full(points, centers, with_nan, offsets), log_sum_exp_full(points, centers, factors, offsets)
    )


@pytest.mark.cpu_only("the public function uses its own back end")
def test_public_function_equals_the_native_function():
    arrays = gaussian_problem(17, 9, 3)
    log_sum = public_log_sum_exp_full(*(torch.from_numpy(array) for array in arrays))
    np.testing.assert_array_equal(log_sum.numpy(), log_sum_exp_full(*arrays))
