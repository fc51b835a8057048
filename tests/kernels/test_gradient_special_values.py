"""Gradients of the isotropic log-sum-exp at coincident, infinite, NaN and empty arguments, and at weights of zero."""

import numpy as np
import pytest

from layerbits.kernels import _cpu
from tests.support.exact_mixture import assert_gradients_within_bound
from tests.support.mixture_problems import gradient_problem
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, Gradients, gradients, log_sum_exp


@EVERY_LEVEL
@BOTH_DTYPES
def test_coincident_points_have_a_gradient_of_exactly_zero(level, dtype):
    rows = np.full((9, 3), 0.3, dtype)
    result = gradients(rows, rows, 1e-6, np.ones(9), level=level)
    for gradient in (result.points, result.centers, result.sigma):
        assert not gradient.any()


def assert_no_effect_of(removed, result, problem, sigma):
    """Assert that the gradients of removed centers and of their weights are zero.

    The other gradients equal those of the problem without the removed centers, within their error bounds.
    """
    points, centers, weights, upstream = problem
    assert not np.any(result.centers[removed])
    assert not np.any(result.weights[removed])
    remaining_gradients = result._replace(centers=result.centers[~removed], weights=result.weights[~removed])
    assert_gradients_within_bound(
        remaining_gradients, points, centers[~removed], sigma, upstream, weights=weights[~removed]
    )


@EVERY_LEVEL
@BOTH_DTYPES
def test_infinite_centers_have_no_effect(level, dtype):
    points, centers, weights, upstream = gradient_problem(17, 20, 3, dtype)
    centers[[0, 7, 19]] = [[np.inf, 0, 0], [0, -np.inf, 0], [np.inf, np.inf, np.inf]]
    result = gradients(points, centers, 0.9, upstream, weights=weights, level=level)
    is_infinite = ~np.isfinite(centers).all(axis=1)
    assert_no_effect_of(is_infinite, result, (points, centers, weights, upstream), 0.9)


@EVERY_LEVEL
@BOTH_DTYPES
def test_finite_centers_whose_squares_overflow_have_no_effect(level, dtype):
    points, centers, weights, upstream = gradient_problem(17, 20, 3, dtype)
    centers[[0, 7, 19]] = np.finfo(dtype).max / 1000
    result = gradients(points, centers, 0.9, upstream, weights=weights, level=level)
    is_distant = np.abs(centers).max(axis=1) > 100
    assert_no_effect_of(is_distant, result, (points, centers, weights, upstream), 0.9)


@EVERY_LEVEL
@BOTH_DTYPES
def test_gradient_at_weights_of_zero_is_the_limit_of_small_weights(level, dtype):
    points, centers, weights, upstream = gradient_problem(17, 20, 3, dtype)
    weights[[0, 7, 8, 19]] = 0
    result = gradients(points, centers, 1.5, upstream, weights=weights, level=level)
    assert_gradients_within_bound(result, points, centers, 1.5, upstream, weights=weights)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("rows", [[0], [7], [0, 1, 2, 3, 4, 5, 6, 7], [16]])
def test_rows_with_zero_upstream_add_nothing_even_if_not_finite(level, dtype, rows):
    points, centers, weights, upstream = gradient_problem(17, 16, 3, dtype)
    upstream[rows] = 0
    expected = gradients(points, centers, 0.9, upstream, weights=weights, level=level)
    for value in (np.nan, np.inf, 1e9):
        points[rows] = value
        result = gradients(points, centers, 0.9, upstream, weights=weights, level=level)
        for name in Gradients._fields:
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=f"{name} {value}")


@EVERY_LEVEL
@BOTH_DTYPES
def test_row_of_nan_with_zero_upstream_has_a_gradient_of_zero(level, dtype):
    points, centers, _, upstream = gradient_problem(17, 16, 3, dtype)
    points[7], upstream[7] = np.nan, 0
    result = gradients(points, centers, 0.9, upstream, level=level)
    assert not result.points[7].any()
    assert result.sigma[7] == 0


@EVERY_LEVEL
@BOTH_DTYPES
def test_center_of_nan_has_a_gradient_of_zero_if_all_upstream_is_zero(level, dtype):
    points, centers, _, _ = gradient_problem(5, 16, 3, dtype)
    centers[7] = np.nan
    assert not any(gradient.any() for gradient in gradients(points, centers, 0.9, np.zeros(5), level=level))


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("row", [0, 7, 8, 16])
@pytest.mark.parametrize("shift", [0, 1e4])
def test_nan_in_a_row_makes_the_gradient_of_every_center_nan(level, dtype, row, shift):
    # Distant rows let a kernel skip a block, unless the block has NaN.
    points, centers, _, _ = gradient_problem(17, 20, 3, dtype)
    points[8:] += shift
    points[row, 1] = np.nan
    assert np.isnan(gradients(points, centers, 0.9, np.ones(17), level=level).centers).all()


@EVERY_LEVEL
@BOTH_DTYPES
def test_nan_in_a_row_affects_only_that_row_of_the_gradient_of_points(level, dtype):
    points, centers, _, _ = gradient_problem(17, 20, 3, dtype)
    expected = gradients(points, centers, 0.9, np.ones(17), level=level).points
    points[5, 0], expected[5] = np.nan, np.nan
    np.testing.assert_array_equal(gradients(points, centers, 0.9, np.ones(17), level=level).points, expected)


@EVERY_LEVEL
@BOTH_DTYPES
def test_point_at_infinity_has_finite_gradients(level, dtype):
    points, centers, _, upstream = gradient_problem(17, 20, 3, dtype)
    points[5] = np.inf
    assert all(np.isfinite(gradient).all() for gradient in gradients(points, centers, 0.9, upstream, level=level))


@BOTH_DTYPES
def test_gradient_of_one_argument_has_the_bits_of_the_call_for_all(dtype):
    points, centers, weights, upstream = gradient_problem(17, 20, 3, dtype)
    log_sum = log_sum_exp(points, centers, 0.9, weights=weights)
    all_gradients = gradients(points, centers, 0.9, upstream, weights=weights)
    for name in Gradients._fields:
        gradient = np.empty_like(getattr(all_gradients, name))
        _cpu.log_sum_exp_isotropic_gradient(
            points, centers, 0.9, log_sum, upstream, weights=weights, **{f"d_{name}": gradient}
        )
        np.testing.assert_array_equal(gradient, getattr(all_gradients, name), err_msg=name)


@BOTH_DTYPES
def test_gradients_are_zero_without_points_or_without_centers(dtype):
    empty, rows = np.empty((0, 3), dtype), np.ones((4, 3), dtype)
    assert not gradients(empty, rows, 1.0, np.empty(0)).centers.any()
    assert not gradients(rows, empty, 1.0, np.ones(4)).points.any()


def test_call_without_outputs_is_accepted():
    _cpu.log_sum_exp_isotropic_gradient(np.zeros((5, 2)), np.ones((9, 2)), 1.0, np.zeros(5), np.ones(5))
