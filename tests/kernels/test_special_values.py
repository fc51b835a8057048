"""NaN, infinite and empty arguments of the log-sum-exp, at the first and last positions of blocks and tiles."""

import numpy as np
import pytest

from layerbits.kernels import _cpu
from tests.support.exact_mixture import error_bound, exact_log_sums
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, log_sum_exp

pytestmark = [EVERY_LEVEL, BOTH_DTYPES]


def points_and_centers(dtype, m=33, n=21, d=3):
    generator = np.random.default_rng(0)
    return generator.standard_normal((m, d)).astype(dtype), generator.standard_normal((n, d)).astype(dtype)


@pytest.mark.parametrize("row", [0, 7, 15, 16, 32])
def test_nan_in_a_row_affects_only_that_row(level, dtype, row):
    points, centers = points_and_centers(dtype)
    expected = log_sum_exp(points, centers, 0.5, level=level)
    points[row, 1] = np.nan
    expected[row] = np.nan
    np.testing.assert_array_equal(log_sum_exp(points, centers, 0.5, level=level), expected)


@pytest.mark.parametrize("index", [0, 1, 6, 7, 8, 20])
@pytest.mark.parametrize("neighbours", ["near", "distant"])
def test_nan_in_a_center_makes_every_row_nan(level, dtype, index, neighbours):
    # Distant centers and the padding of the last block let a kernel skip a block, unless the block has NaN.
    points, centers = points_and_centers(dtype)
    if neighbours == "distant":
        centers[index // 8 * 8 :] += 1000
    centers[index, 2] = np.nan
    assert np.isnan(log_sum_exp(points, centers, 0.5, level=level)).all()


def test_nan_in_a_center_makes_a_point_at_infinity_nan(level, dtype):
    points, centers = points_and_centers(dtype)
    points[3] = np.inf
    centers[0] = np.nan
    assert np.isnan(log_sum_exp(points, centers, 0.5, level=level)).all()


def test_nan_in_a_center_affects_only_its_group(level, dtype):
    points, centers = points_and_centers(dtype, m=6, n=20)
    centers[12] = np.nan
    offsets = {"point_offsets": np.array([0, 3, 6]), "center_offsets": np.array([0, 11, 20])}
    log_sum = log_sum_exp(points, centers, 0.5, level=level, **offsets)
    np.testing.assert_array_equal(np.isnan(log_sum), [False] * 3 + [True] * 3)


@pytest.mark.parametrize("index", [0, 7, 8, 20])
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinite_center_has_no_effect(level, dtype, index, infinity):
    points, centers = points_and_centers(dtype)
    expected, mean_exponent = exact_log_sums(points, np.delete(centers, index, axis=0), 0.5)
    centers[index, 1] = infinity
    assert (
        np.abs(log_sum_exp(points, centers, 0.5, level=level) - expected) <= error_bound(mean_exponent, 3, dtype)
    ).all()


def test_point_at_infinity_gives_minus_infinity_in_its_row(level, dtype):
    points, centers = points_and_centers(dtype)
    expected = log_sum_exp(points, centers, 0.5, level=level)
    points[9, 0], expected[9] = -np.inf, -np.inf
    np.testing.assert_array_equal(log_sum_exp(points, centers, 0.5, level=level), expected)


def test_center_of_weight_zero_at_the_point_has_no_effect(level, dtype):
    points, centers = np.zeros((3, 2), dtype), np.ones((2, 2), dtype)
    centers[0] = 0
    log_sum = log_sum_exp(points, centers, 1.0, weights=np.array([0, 1], dtype), level=level)
    # The other center has the exponent -|x - c|^2 / 2 = -1.
    assert (np.abs(log_sum + 1) <= error_bound(1, 2, dtype)).all()


def test_no_centers_give_minus_infinity(level, dtype):
    points, _ = points_and_centers(dtype)
    assert (log_sum_exp(points, np.empty((0, 3), dtype), 0.5, level=level) == -np.inf).all()


def test_no_points_give_no_results(level, dtype):
    _, centers = points_and_centers(dtype)
    assert log_sum_exp(np.empty((0, 3), dtype), centers, 0.5, level=level).shape == (0,)


def test_memory_around_the_output_is_not_written(level, dtype):
    points, centers = points_and_centers(dtype, m=17)
    memory = np.full(19, 7.0)
    _cpu.log_sum_exp_isotropic(points, centers, 0.5, memory[1:-1], level=level)
    assert memory[0] == memory[-1] == 7


@pytest.mark.parametrize(
    "options", [{"method": "dense"}, {"method": "pruned"}, {"point_offsets": 2, "center_offsets": 2}]
)
def test_value_that_is_too_large_relative_to_sigma_is_refused(level, dtype, options):
    # The value is far below the largest number of the dtype, but not relative to a sigma of 2^-40.
    huge_values = np.full((40, 2), np.ldexp(1.0, np.finfo(dtype).maxexp - 30), dtype)
    options = {key: np.array([0, 20, 40]) if value == 2 else value for key, value in options.items()}
    for points, centers, name in ((huge_values, 0 * huge_values, "points"), (0 * huge_values, huge_values, "centers")):
        with pytest.raises(ValueError, match=f"{name}: got a finite value too large relative to sigma"):
            log_sum_exp(points, centers, 2.0**-40, level=level, **options)
