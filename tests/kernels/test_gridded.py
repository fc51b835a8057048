"""The gridded log-sum-exp: error bound with an error tolerance, special values, and when `auto` chooses it."""

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu, as_sigma, log_sum_exp_isotropic
from tests.support.exact_mixture import error_bound, exact_log_sums, float64_rounding
from tests.support.gridded_mixtures import LAYOUTS, gridded_problem, normal_centers
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, LEVELS, log_sum_exp

pytestmark = pytest.mark.cpu_only("tests the grid of the CPU")

EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)


def assert_error_within_bound(points, centers, sigma, *, weights=None, tolerance=None, levels=LEVELS):
    exact, mean_exponent = exact_log_sums(points, centers, sigma, weights=weights)
    allowed = error_bound(mean_exponent, 1, points.dtype) + float64_rounding(exact, weights)
    allowed += np.finfo(points.dtype).eps / 2 if tolerance is None else tolerance
    options = {} if tolerance is None else {"tolerance": tolerance}
    for level in levels:
        log_sum = log_sum_exp(points, centers, sigma, weights=weights, method="gridded", level=level, **options)
        error = np.abs(log_sum - exact)
        worst = np.argmax(error / allowed)
        assert (error <= allowed).all(), (level, points[worst], float(error[worst] / allowed[worst]))


@BOTH_DTYPES
@EVERY_LAYOUT
@pytest.mark.parametrize("sigma", [100.0, 3.0, 0.5, 0.05, 0.004, 1e-6])
def test_error_is_within_bound_and_tolerance(dtype, layout, sigma):
    points, centers = gridded_problem(layout, sigma, dtype, 1)
    assert_error_within_bound(points, centers, sigma)


@EVERY_LAYOUT
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_error_is_within_a_large_tolerance_in_float64(layout, tolerance):
    points, centers = gridded_problem(layout, 0.3, np.float64, 1)
    assert_error_within_bound(points, centers, 0.3, tolerance=tolerance, levels=LEVELS[:1])


@BOTH_DTYPES
@EVERY_LAYOUT
def test_error_is_within_bound_for_weights_of_all_sizes(dtype, layout):
    points, centers = gridded_problem(layout, 0.2, dtype, 1)
    weights = (10.0 ** np.random.default_rng(0).uniform(-12, 3, len(centers))).astype(dtype)
    weights[::7] = 0
    assert_error_within_bound(points, centers, 0.2, weights=weights)


@BOTH_DTYPES
@pytest.mark.parametrize("offset", [1e3, 1e6, -1e8])
def test_error_is_within_bound_far_from_zero(dtype, offset):
    # In float32 at 1e8, a step between numbers is 8 sigma.
    points, centers = gridded_problem(normal_centers, 1.0, dtype, 1, offset=offset)
    assert_error_within_bound(points, centers, 1.0)


@BOTH_DTYPES
def test_error_is_within_bound_between_two_distant_clusters(dtype):
    # Both clusters count near the middle, at 15 sigma from each.
    generator = np.random.default_rng(1)
    centers = (generator.choice([-15.0, 15.0], (2000, 1)) + 0.5 * generator.standard_normal((2000, 1))).astype(dtype)
    points = np.linspace(-2, 2, 81)[:, None].astype(dtype)
    assert_error_within_bound(points, centers, 1.0)


@BOTH_DTYPES
def test_many_centers_far_from_every_point_are_summed_exactly(dtype):
    # More than 4096 centers of one cell.
    centers = np.random.default_rng(2).uniform(-0.1, 0.1, (5000, 1)).astype(dtype)
    points = np.array([[-30.0], [13.0], [13.1], [500.0]], dtype)
    assert_error_within_bound(points, centers, 1.0)


@BOTH_DTYPES
def test_coordinates_may_be_subnormal(dtype):
    unit = np.finfo(dtype).smallest_subnormal
    centers = (unit * np.random.default_rng(3).integers(-999, 999, (300, 1))).astype(dtype)
    log_sum = log_sum_exp(centers[:9], centers, 1.0, method="gridded")
    np.testing.assert_allclose(log_sum, np.log(300), rtol=0, atol=4 * np.finfo(dtype).eps + 2.0**-50)


@BOTH_DTYPES
@pytest.mark.parametrize("n", [1, 2, 64, 65, 66, 4096, 4097, 9000])
def test_equal_centers_add_up(dtype, n):
    # Around the sizes of a small window and of a piece of a cell; the moments of pieces are added.
    centers = np.full((n, 1), 0.7, dtype)
    log_sum = log_sum_exp(np.array([[0.7], [1.2]], dtype), centers, 0.5, method="gridded")
    distance = (float(dtype(1.2)) - float(dtype(0.7))) / 0.5
    expected = np.log(n) - np.array([0, distance**2 / 2])
    np.testing.assert_allclose(log_sum, expected, rtol=0, atol=10 * np.finfo(dtype).eps + 2.0**-50)


def used_method(points, centers, sigma, **options):
    return _cpu.log_sum_exp_isotropic(points, centers, sigma, np.empty(len(points)), **options)


@EVERY_LEVEL
@BOTH_DTYPES
def test_points_that_are_not_finite_change_no_other_point(level, dtype):
    points, centers = gridded_problem(normal_centers, 0.3, dtype, 1)
    expected = log_sum_exp(points, centers, 0.3, method="gridded", level=level)
    points[[3, 40, 41]] = np.array([[np.nan], [np.inf], [-np.inf]])
    expected[[3, 40, 41]] = [np.nan, -np.inf, -np.inf]
    result = log_sum_exp(points, centers, 0.3, method="gridded", level=level)
    np.testing.assert_array_equal(result, expected)


@BOTH_DTYPES
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_center_that_is_not_finite_needs_all_pairs(dtype, bad):
    points, centers = gridded_problem(normal_centers, 0.3, dtype, 1)
    centers[17] = bad
    assert used_method(points, centers, 0.3, method="gridded") == "dense"
    expected = log_sum_exp(points, centers, 0.3, method="dense")
    np.testing.assert_array_equal(log_sum_exp(points, centers, 0.3, method="gridded"), expected)


def test_points_too_large_relative_to_sigma_are_refused():
    points, centers = gridded_problem(normal_centers, 0.3, np.float32, 1)
    points[5] = 3e38
    with pytest.raises(ValueError, match="points: got a finite value too large relative to sigma"):
        log_sum_exp(points, centers, 0.3, method="gridded")


def test_three_dimensions_need_all_pairs():
    points = np.random.default_rng(0).standard_normal((50, 3))
    assert used_method(points, points, 1.0, method="gridded") == "dense"


def test_no_points_and_no_centers():
    empty, row = np.empty((0, 1)), np.zeros((1, 1))
    assert len(log_sum_exp(empty, row, 1.0, method="gridded")) == 0
    np.testing.assert_array_equal(log_sum_exp(row, empty, 1.0, method="gridded"), [-np.inf])


@BOTH_DTYPES
def test_auto_chooses_the_grid_for_many_pairs(dtype):
    points, centers = gridded_problem(normal_centers, 0.3, dtype, 1, n=60_000)
    many = np.tile(points, (60, 1))
    assert used_method(many, centers, 0.3) == "gridded"
    assert used_method(points, centers[:500], 0.3) == "dense"


@BOTH_DTYPES
def test_auto_chooses_the_grid_for_points_that_share_cells(dtype):
    rng = np.random.default_rng(0)
    points, centers = (rng.uniform(-1, 1, (n, 1)).astype(dtype) for n in (8192, 2048))
    assert used_method(points, centers, 0.02) == "gridded"
    assert used_method(points, centers, 1e-4) != "gridded"  # points with cells of their own


def test_auto_does_not_sum_many_pairs_without_expansions():
    # Every point is 20 sigma from a cell of 20,000 centers.
    centers = np.random.default_rng(0).uniform(0, 0.1, (20_000, 1))
    points = np.random.default_rng(1).uniform(20, 21, (6000, 1))
    assert used_method(points, centers, 1.0) != "gridded"


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_expansions_sum_the_points_near_centers(sigma):
    # Expansions are computed in double: their errors are far below those of a sum of all pairs in float32.
    points, centers = gridded_problem(normal_centers, sigma, np.float32, 1)
    exact, _ = exact_log_sums(points[:60], centers, sigma)
    for method, used in (("dense", False), ("gridded", True)):
        errors = np.abs(log_sum_exp(points[:60], centers, sigma, method=method) - exact)
        assert (float(np.mean(errors < 1e-9)) > 0.9) == used, method


@BOTH_DTYPES
def test_gradient_is_that_of_all_pairs(dtype):
    # The softmax weights of the gradient contain the log-sum, which differs by at most (20 (1 + p|e|) + 1) eps.
    points, centers = gridded_problem(normal_centers, 0.3, dtype, 1)
    gradients = []
    for method in ("dense", "gridded"):
        queries = torch.from_numpy(points[:60]).requires_grad_()
        log_sum_exp_isotropic(queries, torch.from_numpy(centers), as_sigma(0.3), method=method).sum().backward()
        gradients.append(queries.grad)
    _, mean_exponent = exact_log_sums(points[:60], centers, 0.3)
    relative = 2 * (20 * (1 + mean_exponent.max()) + 1) * np.finfo(dtype).eps
    # Differences of points and centers within 6 sigma bound a gradient by 6 / sigma before cancellation.
    assert float((gradients[0] - gradients[1]).abs().max()) <= relative * 6 / 0.3
