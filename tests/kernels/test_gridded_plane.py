"""The gridded log-sum-exp in the plane: error bound with an error tolerance, special values, when `auto` chooses it."""

import numpy as np
import pytest

from layerbits.kernels import _cpu
from tests.support.exact_mixture import error_bound, exact_log_sums, float64_rounding
from tests.support.gridded_mixtures import LAYOUTS, gridded_problem, normal_centers
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, LEVELS, log_sum_exp

pytestmark = pytest.mark.cpu_only("tests the grid of the CPU")

TOLERANCE = 1e-7  # float64 has expansions in the plane for large tolerances only


def centers_on_a_line(generator, n, dim):
    """Return centers on a line that is not parallel to an axis."""
    return generator.standard_normal((n, 1)) * np.array([[1.0, 0.3]])


EVERY_LAYOUT = pytest.mark.parametrize("layout", [*LAYOUTS, centers_on_a_line])


def problem(layout, sigma, dtype, *, n=6000, offset=0.0):
    return gridded_problem(layout, sigma, dtype, 2, n=n, offset=offset)


def assert_error_within_bound(points, centers, sigma, *, weights=None, tolerance=TOLERANCE, levels=LEVELS):
    exact, mean_exponent = exact_log_sums(points, centers, sigma, weights=weights)
    allowed = tolerance + error_bound(mean_exponent, 2, points.dtype) + float64_rounding(exact, weights)
    for level in levels:
        log_sum = log_sum_exp(
            points, centers, sigma, weights=weights, method="gridded", level=level, tolerance=tolerance
        )
        error = np.abs(log_sum - exact)
        worst = np.argmax(error / allowed)
        assert (error <= allowed).all(), (level, points[worst], float(error[worst] / allowed[worst]))


def used_method(points, centers, sigma, **options):
    return _cpu.log_sum_exp_isotropic(points, centers, sigma, np.empty(len(points)), **options)


@BOTH_DTYPES
@EVERY_LAYOUT
@pytest.mark.parametrize("sigma", [30.0, 1.0, 0.1, 1e-4])
def test_error_is_within_bound_and_tolerance(dtype, layout, sigma):
    points, centers = problem(layout, sigma, dtype)
    assert used_method(points, centers, sigma, method="gridded", tolerance=TOLERANCE) == "gridded"
    assert_error_within_bound(points, centers, sigma)


@EVERY_LAYOUT
@pytest.mark.parametrize(("sigma", "tolerance"), [(0.25, 1e-8), (10.0, 1e-8), (0.25, 1e-3)])
def test_error_of_expansions_is_within_the_tolerance(layout, sigma, tolerance):
    # Wide and narrow cells; in float64 the tolerance is far above the rounding errors of most sums.
    points, centers = problem(layout, sigma, np.float64, n=8000)
    assert_error_within_bound(points, centers, sigma, tolerance=tolerance, levels=LEVELS[-1:])


@BOTH_DTYPES
@EVERY_LAYOUT
def test_error_is_within_bound_for_weights_of_all_sizes(dtype, layout):
    points, centers = problem(layout, 0.5, dtype)
    weights = (10.0 ** np.random.default_rng(0).uniform(-12, 3, len(centers))).astype(dtype)
    weights[::7] = 0
    assert_error_within_bound(points, centers, 0.5, weights=weights)


@BOTH_DTYPES
@pytest.mark.parametrize("offset", [1e3, 1e6, -1e8])
def test_error_is_within_bound_far_from_zero(dtype, offset):
    # In float32 at 1e8, a step between numbers is 8 sigma.
    points, centers = problem(normal_centers, 1.0, dtype, offset=offset)
    assert_error_within_bound(points, centers, 1.0)


@BOTH_DTYPES
def test_error_is_within_bound_between_distant_clusters(dtype):
    # Clusters count near the middle, at 15 sigma from each.
    generator = np.random.default_rng(1)
    centers = generator.choice([-15.0, 15.0], (5000, 1)) * [[1.0, 0.5]] + 0.5 * generator.standard_normal((5000, 2))
    points = generator.uniform(-3, 3, (81, 2))
    assert_error_within_bound(points.astype(dtype), centers.astype(dtype), 1.0)


@BOTH_DTYPES
@pytest.mark.parametrize("n", [1, 15, 16, 17, 33, 4000, 4001, 4097, 9000])
def test_equal_centers_add_up(dtype, n):
    # Around the numbers of lanes, of centers with expansions, and of a piece of a cell.
    centers = np.full((n, 2), 0.7, dtype)
    points = np.array([[0.7, 0.7], [1.2, 0.7], [0.7, 1.2]], dtype)
    log_sum = log_sum_exp(points, centers, 0.5, method="gridded", tolerance=TOLERANCE)
    distance = (float(dtype(1.2)) - float(dtype(0.7))) / 0.5
    expected = np.log(n) - np.array([0, distance**2 / 2, distance**2 / 2])
    np.testing.assert_allclose(log_sum, expected, rtol=0, atol=TOLERANCE + 10 * np.finfo(dtype).eps)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_expansions_sum_the_points_near_centers(sigma):
    # Expansions are computed in double: most errors are far below those of a sum in float32.
    points, centers = problem(normal_centers, sigma, np.float32, n=20_000)
    exact, _ = exact_log_sums(points[:60], centers, sigma)
    for method, used in (("dense", False), ("gridded", True)):
        errors = np.abs(log_sum_exp(points[:60], centers, sigma, method=method) - exact)
        assert (float(np.mean(errors < 1e-8)) > 0.9) == used, method


@EVERY_LEVEL
@BOTH_DTYPES
def test_points_that_are_not_finite_change_no_other_point(level, dtype):
    points, centers = problem(normal_centers, 0.3, dtype)
    options = {"method": "gridded", "level": level, "tolerance": TOLERANCE}
    expected = log_sum_exp(points, centers, 0.3, **options)
    points[[3, 40, 41], [0, 1, 0]] = [np.nan, np.inf, -np.inf]
    expected[[3, 40, 41]] = [np.nan, -np.inf, -np.inf]
    np.testing.assert_array_equal(log_sum_exp(points, centers, 0.3, **options), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_center_that_is_not_finite_needs_all_pairs(bad):
    points, centers = problem(normal_centers, 0.3, np.float32)
    centers[17, 1] = bad
    assert used_method(points, centers, 0.3, method="gridded") == "dense"


def test_a_tiny_weight_needs_all_pairs():
    points, centers = problem(normal_centers, 0.3, np.float32)
    weights = np.ones(len(centers), np.float32)
    weights[3] = 2.0**-70
    assert used_method(points, centers, 0.3, weights=weights, method="gridded") == "dense"


def test_centers_too_far_apart_need_all_pairs():
    # 2^32 cells along each axis.
    points, centers = problem(normal_centers, 1.0, np.float32)
    centers[7] = 2.0**33
    assert used_method(points, centers, 1.0, method="gridded") == "dense"


def test_a_small_tolerance_in_float64_needs_all_pairs():
    points, centers = problem(normal_centers, 0.3, np.float64)
    assert used_method(points, centers, 0.3, method="gridded") == "dense"


def test_points_too_large_relative_to_sigma_are_refused():
    points, centers = problem(normal_centers, 0.3, np.float32)
    points[5, 1] = 3e38
    with pytest.raises(ValueError, match="points: got a finite value too large relative to sigma"):
        log_sum_exp(points, centers, 0.3, method="gridded")


def test_squares_beyond_the_dtype_are_infinite():
    points, centers = problem(normal_centers, 0.3, np.float32)
    points[5, 1] = 1e30
    assert log_sum_exp(points, centers, 0.3, method="gridded")[5] == -np.inf


def test_auto_chooses_the_grid_for_many_pairs():
    points, centers = problem(normal_centers, 0.3, np.float32, n=60_000)
    assert used_method(np.tile(points, (200, 1)), centers, 0.3) == "gridded"
    assert used_method(points, centers[:500], 0.3) == "dense"
