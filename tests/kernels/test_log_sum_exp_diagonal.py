"""The log-sum-exp over components with diagonal covariances: error bound and bits."""

import itertools

import mpmath
import numpy as np
import pytest
import torch

from layerbits.kernels import log_sum_exp_diagonal as public_log_sum_exp_diagonal
from layerbits.kernels import reference
from tests.support.exact_diagonal import diagonal_error_ratio, diagonal_problem, exact_diagonal_log_sums
from tests.support.exact_mixture import error_bound, exact_log_sums
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, NEEDS_AVX2_AND_AVX512, log_sum_exp_diagonal
from tests.support.one_sided_roundings import one_sided_roundings


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [*range(1, 10), 31, 32, 33, 64, 65, 200, 1000])
def test_error_is_within_the_bound_in_1_to_1000_dimensions(level, dtype, d):
    assert diagonal_error_ratio(*diagonal_problem(21, 27, d, dtype), level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
def test_error_is_within_the_bound_for_every_tail_of_points_and_components(level, dtype):
    for m, n in itertools.product([1, 7, 8, 9, 15, 16, 17, 129, 300], [1, 7, 8, 9, 17]):
        assert diagonal_error_ratio(*diagonal_problem(m, n, 3, dtype), level=level) <= 1, (m, n)


@pytest.mark.parametrize("d", [1, 10])
def test_error_is_within_the_bound_for_the_tail_of_a_chunk(d):
    # A chunk has 2^15 numbers; a component of d = 10 has 21, so that 5003 components are several chunks.
    assert diagonal_error_ratio(*diagonal_problem(9, 5003, d), threads=2) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("scale", [0.01, 1, 30, 1e3, 1e5])
@pytest.mark.parametrize("d", [2, 10, 100])
def test_error_is_within_the_bound_for_distant_components(level, dtype, scale, d):
    # Exponents beyond 2^22 (float32) and 2^51 (float64) have rounding errors above 1.
    points, centers, factors, offsets = diagonal_problem(40, 60, d, dtype, scale=scale)
    points[::2] = centers[: len(points[::2])]
    assert diagonal_error_ratio(points, centers, factors, offsets, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [32, 512])
def test_error_is_within_the_bound_for_equal_differences(level, dtype, d):
    """All roundings of a sum of equal terms may have one sign."""
    generator = np.random.default_rng(0)
    points, centers = np.zeros((50, d), dtype), np.zeros((1, d), dtype)
    points += generator.uniform(0.5, 2, size=(50, 1)).astype(dtype)
    for factor in generator.uniform(0.01, 1, size=20):
        factors, offsets = np.full((1, d), factor, dtype), np.zeros(1, dtype)
        assert diagonal_error_ratio(points, centers, factors, offsets, level=level) <= 1


@EVERY_LEVEL
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("d", [16, 64])
def test_error_is_within_the_larger_bound_for_roundings_of_one_sign(level, d, sign):
    point, center, factors = one_sided_roundings(d, 16, sign, has_factors=True)
    ratio = diagonal_error_ratio(point, center, factors, np.zeros(1, np.float32), level=level)
    assert ratio <= (13 + d / 32) / (4 + d / 64)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("order", ["near first", "near last"])
def test_error_is_within_the_bound_for_any_order_of_near_and_distant_components(level, dtype, order):
    points, centers, factors, offsets = diagonal_problem(33, 200, 40, dtype)
    centers *= np.linspace(0.01, 60, 200, dtype=dtype)[:: 1 if order == "near first" else -1, None]
    assert diagonal_error_ratio(points, centers, factors, offsets, level=level) <= 1


@EVERY_LEVEL
def test_error_is_within_the_bound_for_offsets_of_any_size(level):
    points, centers, factors, _ = diagonal_problem(20, 50, 3)
    for offsets in (np.linspace(-800, 700, 50), np.linspace(1e6, 1e6 + 5, 50), np.full(50, -1e300)):
        assert diagonal_error_ratio(points, centers, factors, offsets, level=level) <= 1


@EVERY_LEVEL
@pytest.mark.parametrize("scale", [2.0**-60, 2.0**60])
def test_any_unit_gives_the_same_error(level, scale):
    """Signals of any size with factors of the inverse size: a product is formed before the square."""
    points, centers, factors, offsets = diagonal_problem(20, 50, 5, np.float32)
    scaled = [points * np.float32(scale), centers * np.float32(scale), factors / np.float32(scale), offsets]
    np.testing.assert_array_equal(
        log_sum_exp_diagonal(*scaled, level=level), log_sum_exp_diagonal(points, centers, factors, offsets, level=level)
    )


def test_exact_values_agree_with_fifty_digits():
    points, centers, factors, offsets = diagonal_problem(1, 4, 3)
    with mpmath.workdps(50):
        exponents = [
            float(offset)
            - mpmath.fsum(
                (float(a) * (mpmath.mpf(float(x)) - float(c))) ** 2
                for x, c, a in zip(points[0], center, factor, strict=True)
            )
            / 2
            for center, factor, offset in zip(centers, factors, offsets, strict=True)
        ]
        expected = mpmath.log(mpmath.fsum(map(mpmath.exp, exponents)))
        exact, mean_exponent = exact_diagonal_log_sums(points, centers, factors, offsets)
        assert abs(mpmath.mpf(str(exact[0])) - expected) <= mpmath.mpf(2) ** -60 * (1 + float(mean_exponent[0]))


@BOTH_DTYPES
def test_reference_and_kernel_agree(dtype):
    arrays = diagonal_problem(40, 70, 6, dtype)
    _, mean_exponent = exact_diagonal_log_sums(*arrays)
    error = np.abs(log_sum_exp_diagonal(*arrays) - reference.log_sum_exp_diagonal(*arrays))
    # The reference computes the same sums in float64, and adds 70 terms in turn.
    assert (error <= error_bound(mean_exponent, 6, dtype) + 2**-52 * 80 * (1 + mean_exponent)).all()


@BOTH_DTYPES
def test_equal_factors_agree_with_the_isotropic_log_sum_exp(dtype):
    points, centers, _, _ = diagonal_problem(40, 70, 6, dtype)
    arrays = points, centers, np.full((70, 6), 4, dtype), np.zeros(70, dtype)
    isotropic, mean_exponent = exact_log_sums(points, centers, 0.25)
    error = np.abs(log_sum_exp_diagonal(*arrays) - isotropic)
    assert (error <= error_bound(mean_exponent, 6, dtype) + 2.0**-53 * np.abs(isotropic)).all()


# Bits


@pytest.mark.cpu_only("threads")
@BOTH_DTYPES
@pytest.mark.parametrize(("m", "n", "d"), [(700, 300, 3), (5, 9000, 6), (40, 300, 40)])
def test_number_of_threads_changes_no_bit(dtype, m, n, d):
    arrays = diagonal_problem(m, n, d, dtype)
    expected = log_sum_exp_diagonal(*arrays)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(log_sum_exp_diagonal(*arrays, threads=threads), expected)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [3, 40, 100])
@pytest.mark.parametrize("scale", [1, 3, 10, 1e3, 1e9])
def test_row_alone_equals_row_in_batch(level, dtype, d, scale):
    # A term may be known to be 0 in one lane of a tile after some dimensions, and needed in another lane.
    points, centers, factors, offsets = diagonal_problem(70, 90, d, dtype, scale=scale)
    points[::5] = centers[: len(points[::5])]
    batch = log_sum_exp_diagonal(points, centers, factors, offsets, level=level)
    rows = [log_sum_exp_diagonal(points[i : i + 1], centers, factors, offsets, level=level)[0] for i in range(70)]
    np.testing.assert_array_equal(batch, rows)


@NEEDS_AVX2_AND_AVX512
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 2, 3, 4, 10, 33, 100])
def test_avx2_and_avx512_agree_in_bits(dtype, d):
    for scale in (0.1, 1, 30, 1e5):
        arrays = diagonal_problem(70, 90, d, dtype, scale=scale)
        avx2, avx512 = (log_sum_exp_diagonal(*arrays, level=level) for level in ("avx2", "avx512"))
        np.testing.assert_array_equal(avx2, avx512, err_msg=f"scale {scale}")


@BOTH_DTYPES
def test_memory_layout_changes_no_bit(dtype):
    arrays = diagonal_problem(19, 45, 5, dtype)
    expected = log_sum_exp_diagonal(*arrays)
    reversed_arrays = [np.flip(np.flip(array).copy()) for array in arrays]
    transposed_arrays = [np.ascontiguousarray(array.T).T for array in arrays]
    strided_arrays = [np.repeat(array, 2, axis=0)[::2] for array in arrays]
    for layout in (reversed_arrays, transposed_arrays, strided_arrays, [torch.from_numpy(array) for array in arrays]):
        np.testing.assert_array_equal(log_sum_exp_diagonal(*layout), expected)


@pytest.mark.cpu_only("the public function uses its own back end")
def test_public_function_equals_the_native_function():
    arrays = diagonal_problem(17, 9, 3)
    log_sum = public_log_sum_exp_diagonal(*(torch.from_numpy(array) for array in arrays))
    np.testing.assert_array_equal(log_sum.numpy(), log_sum_exp_diagonal(*arrays))
