"""The pruned log-sum-exp: error bound with an error tolerance, bits, and the fallback to dense."""

import itertools

import numpy as np
import pytest

from layerbits.kernels import _cpu
from tests.support.exact_mixture import error_bound, exact_log_sums, float64_rounding
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, LEVELS, NEEDS_AVX2_AND_AVX512, log_sum_exp

SIGMA = 0.005


def separated_centers(generator, n, d):
    """Return separated centers, most of which are negligible for a query."""
    return generator.uniform(-1, 1, (n, d))


def saturated_centers(generator, n, d):
    """Return centers near the corners of a cube, as from tanh: equal, nearly equal, or far from their corner."""
    corners = generator.choice([-1.0, 1.0], (n, d))
    return np.tanh(corners * generator.uniform(2, 12, (n, 1)) + generator.normal(0, 0.1, (n, d)))


def clusters_of_all_sizes(generator, n, d):
    """Return clusters with widths from a millionth of sigma to ten sigma."""
    sizes = SIGMA * 10.0 ** generator.uniform(-6, 1, (20, 1))
    cluster = generator.integers(20, size=n)
    return generator.uniform(-1, 1, (20, d))[cluster] + sizes[cluster] * generator.standard_normal((n, d))


def single_cluster(generator, n, d):
    """Return normal centers with a standard deviation of two sigma."""
    return generator.normal(0, 2 * SIGMA, (n, d))


EVERY_LAYOUT = pytest.mark.parametrize(
    "layout", [separated_centers, saturated_centers, clusters_of_all_sizes, single_cluster]
)


def problem(layout, d, dtype, *, n=1500, m=60, scale=1.0):
    """Return queries, most of them at a center plus noise, centers with coordinates up to `scale`, and sigma."""
    generator = np.random.default_rng(d)
    centers = scale * layout(generator, n, d)
    queries = centers[generator.integers(n, size=m)] + scale * SIGMA * generator.standard_normal((m, d))
    queries[::10] = scale * generator.uniform(-1.2, 1.2, (len(queries[::10]), d))
    return queries.astype(dtype), centers.astype(dtype), scale * SIGMA


def assert_error_within_bound(points, centers, sigma, tolerances, *, weights=None, levels=LEVELS):
    """Assert that the error at each level is within the bound of the log-sum-exp, rounding and error tolerance.

    None is the default error tolerance.
    """
    exact, mean_exponent = exact_log_sums(points, centers, sigma, weights=weights)
    bound = error_bound(mean_exponent, points.shape[1], points.dtype) + float64_rounding(exact, weights)
    for level, tolerance in itertools.product(levels, tolerances):
        options = {} if tolerance is None else {"tolerance": tolerance}
        log_sum = log_sum_exp(points, centers, sigma, weights=weights, method="pruned", level=level, **options)
        allowed = bound + (np.finfo(points.dtype).eps / 2 if tolerance is None else tolerance)
        error = np.abs(log_sum - exact)
        assert (error <= allowed).all(), (level, tolerance, float((error / allowed).max()))


@BOTH_DTYPES
@EVERY_LAYOUT
@pytest.mark.parametrize("d", [1, 2, 3, 8, 9, 70])
def test_error_is_within_bound_and_tolerance(dtype, layout, d):
    points, centers, sigma = problem(layout, d, dtype)
    assert_error_within_bound(points, centers, sigma, (None, 1e-3))


@BOTH_DTYPES
@EVERY_LAYOUT
def test_error_is_within_bound_and_tolerance_for_weights_of_all_sizes(dtype, layout):
    points, centers, sigma = problem(layout, 3, dtype)
    weights = (10.0 ** np.random.default_rng(0).uniform(-9, 3, len(centers))).astype(dtype)
    weights[::7] = 0
    assert_error_within_bound(points, centers, sigma, (None, 1e-6, 0.1), weights=weights)


@BOTH_DTYPES
@pytest.mark.parametrize("scale", [1, 10, 1e-30])
def test_error_is_within_the_bound_at_any_scale(dtype, scale):
    points, centers, sigma = problem(clusters_of_all_sizes, 4, dtype, scale=scale)
    assert_error_within_bound(points, centers, sigma, (None,))


@BOTH_DTYPES
@pytest.mark.parametrize("d", [3, 70])
@pytest.mark.parametrize("exponent", [1e4, 1e7, 1e9, 1e10, 1e12, 1e20])
def test_error_is_within_the_bound_for_distant_rows(dtype, d, exponent):
    # Rounding errors of bounds and distances exceed the resolution of 2^x: the initial reference must not exceed every
    # term by too much.
    points, centers, _ = problem(single_cluster, d, dtype, scale=1 / SIGMA)
    assert_error_within_bound(points, centers, (d / exponent) ** 0.5, (None,))


@pytest.mark.parametrize("offset", [1e4, 1e5, 1e6, 1e7])
def test_error_is_within_the_bound_for_means_that_the_dtype_rounds(offset):
    # The steps of float32 at these offsets are a thousandth to one sigma, and the means of leaves fall between steps.
    generator = np.random.default_rng(0)
    step = np.spacing(np.float32(offset))
    centers = (offset + step * generator.integers(0, 2, (97, 8))).astype(np.float32)
    for shift in (0, 3, -3):
        points = (centers[:20] + round(shift / step) * step).astype(np.float32)
        assert_error_within_bound(points, centers, 1.0, (None, 0.1))


def test_bound_from_a_rounded_mean_skips_no_relevant_center():
    # 32 corners of a cube of side sigma, with 4 of 8 coordinates at the upper side, are all 15.6 sigma from a query on
    # the diagonal, as their mean and variance imply. float32 rounds the mean to the near corner, which would make the
    # distance 14.2 sigma, and the nearest centers, at 15 sigma, would be skipped.
    corner = np.float32(2**24)
    query = np.full((1, 8), -10.0)
    corners = [np.roll([0, 0, 0, 0, 2, 2, 2, 2], i) for i in range(32)]
    nearest = np.repeat(query + 30 * np.eye(1, 8), 32, axis=0)
    points, centers = (np.float32(corner + array) for array in (query, np.concatenate([corners, nearest])))
    assert_error_within_bound(points, centers, 2.0, (0.1,))


def sphere_about_a_center(radius, dtype=np.float64):
    """Return a query, and 4001 centers: one at the query, the others at a distance of `radius`."""
    sphere = np.random.default_rng(0).standard_normal((4000, 3))
    sphere *= radius / np.linalg.norm(sphere, axis=1, keepdims=True)
    return np.zeros((1, 3), dtype), np.concatenate([np.zeros((1, 3)), sphere]).astype(dtype)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_skipped_centers_add_up_to_less_than_the_tolerance(tolerance):
    # Skipping all centers has the largest error if they are just beyond the cutoff.
    for factor in (0.98, 1.0, 1.02, 1.05):
        points, centers = sphere_about_a_center(factor * np.sqrt(2 * np.log(4000 / tolerance)))
        log_sum = log_sum_exp(points, centers, 1.0, method="pruned", tolerance=tolerance)
        exact, _ = exact_log_sums(points, centers, 1.0)
        assert abs(log_sum - exact) <= tolerance


@BOTH_DTYPES
def test_default_tolerance_skips_nothing_above_rounding(dtype):
    # The terms of the centers on the sphere sum to 10 eps; error bound and error tolerance are below 5 eps.
    points, centers = sphere_about_a_center(np.sqrt(2 * np.log(4000 / (10 * np.finfo(dtype).eps))), dtype)
    assert_error_within_bound(points, centers, 1.0, (None,))


@pytest.mark.cpu_only("only the CPU merges centers")
def test_large_tolerance_changes_more_than_rounding():
    points, centers, sigma = problem(clusters_of_all_sizes, 3, np.float64)
    dense = log_sum_exp(points, centers, sigma)
    pruned = log_sum_exp(points, centers, sigma, method="pruned", tolerance=0.1)
    # Exponents are below 3e5, so rounding alone is below 2 * (4 + 3/64) * 2^-52 * 3e5 < 1e-9.
    assert np.abs(pruned - dense).max() > 1e-9


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 3, 9])
def test_equal_centers_equal_one_center_of_their_weight(level, dtype, d):
    # Close to the centers the bound does not include the rounding of log n, which is at most 1.5 ulp.
    generator = np.random.default_rng(d)
    for n in (33, 500, 2900, 300_000):
        centers = np.repeat(generator.standard_normal((1, d)).astype(dtype), n, axis=0)
        points = (centers[:40] + 0.01 * generator.standard_normal((len(centers[:40]), d))).astype(dtype)
        log_sum = log_sum_exp(points, centers, 1.0, method="pruned", level=level)
        exact, mean_exponent = exact_log_sums(points, centers[:1], 1.0)
        expected = exact + np.log(np.longdouble(n))
        bound = error_bound(mean_exponent, d, dtype) + np.finfo(dtype).eps / 2 + 1.5 * np.spacing(np.log(n))
        assert (np.abs(log_sum - expected) <= bound).all()


@pytest.mark.cpu_only("threads")
@BOTH_DTYPES
@EVERY_LAYOUT
def test_number_of_threads_changes_no_bit(dtype, layout):
    points, centers, sigma = problem(layout, 4, dtype, n=20_000, m=1500)
    serial = log_sum_exp(points, centers, sigma, method="pruned")
    for threads in (2, 5):
        np.testing.assert_array_equal(log_sum_exp(points, centers, sigma, method="pruned", threads=threads), serial)


@pytest.mark.cpu_only("CUDA prunes tiles, not rows")
@EVERY_LEVEL
@BOTH_DTYPES
@EVERY_LAYOUT
def test_row_alone_equals_row_in_batch(level, dtype, layout):
    points, centers, sigma = problem(layout, 3, dtype)
    for tolerance in (1e-6, 1e-2):
        options = {"method": "pruned", "tolerance": tolerance, "level": level}
        batch = log_sum_exp(points, centers, sigma, **options)
        log_sums_of_rows = [log_sum_exp(points[i : i + 1], centers, sigma, **options)[0] for i in range(len(points))]
        np.testing.assert_array_equal(batch, log_sums_of_rows)


@NEEDS_AVX2_AND_AVX512
@BOTH_DTYPES
@EVERY_LAYOUT
def test_avx2_and_avx512_agree_in_bits(dtype, layout):
    points, centers, sigma = problem(layout, 3, dtype)
    avx512, avx2 = (log_sum_exp(points, centers, sigma, method="pruned", level=level) for level in ("avx512", "avx2"))
    np.testing.assert_array_equal(avx512, avx2)


@EVERY_LEVEL
@BOTH_DTYPES
def test_rows_with_special_values_agree_with_dense(level, dtype):
    points, centers, sigma = problem(separated_centers, 3, dtype)
    points[1, 0], points[2, 1], points[3, 2] = np.nan, np.inf, -np.inf
    points[4] = 1e17  # its square exceeds float32 relative to sigma
    pruned = log_sum_exp(points, centers, sigma, method="pruned", level=level)
    dense = log_sum_exp(points, centers, sigma, method="dense", level=level)
    assert np.isnan(pruned[1])
    assert (pruned[2:4] == -np.inf).all()
    # The two methods have relative errors of a few eps: the exponents of row 4 are all about equal.
    np.testing.assert_allclose(pruned, dense, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e12, 1e30])
def test_distant_row_among_rows_that_merge_centers_equals_the_row_alone(level, dtype, value):
    generator = np.random.default_rng(0)
    centers = generator.normal(0, 0.01, (4000, 3)).astype(dtype)
    points = generator.standard_normal((64, 3)).astype(dtype)
    points[::9] = value
    options = {"method": "pruned", "tolerance": 0.1, "level": level}
    log_sum_of_row = log_sum_exp(points[:1], centers, 1.0, **options)
    assert not np.isnan(log_sum_of_row)
    np.testing.assert_array_equal(log_sum_exp(points, centers, 1.0, **options)[::9], np.repeat(log_sum_of_row, 8))


def used_method(points, centers, sigma, **options):
    return _cpu.log_sum_exp_isotropic(points, centers, sigma, np.empty(len(points)), **options)


@pytest.mark.cpu_only("the tree needs finite centers")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_centers_that_are_not_finite_fall_back_to_dense(value):
    points, centers, sigma = problem(separated_centers, 3, np.float64)
    centers[700, 1] = value
    assert used_method(points, centers, sigma, method="pruned") == "dense"
    np.testing.assert_array_equal(
        log_sum_exp(points, centers, sigma, method="pruned"), log_sum_exp(points, centers, sigma, method="dense")
    )


@pytest.mark.parametrize(("m", "n"), [(0, 5), (5, 0)])
def test_empty_sides_fall_back_to_dense(m, n):
    points, centers = np.zeros((m, 3)), np.zeros((n, 3))
    assert used_method(points, centers, 1.0, method="pruned") == "dense"
    np.testing.assert_array_equal(log_sum_exp(points, centers, 1.0, method="pruned"), log_sum_exp(points, centers, 1.0))


def test_groups_fall_back_to_dense():
    points, centers, sigma = problem(separated_centers, 3, np.float64)
    offsets = {"point_offsets": np.array([0, 10, 60]), "center_offsets": np.array([0, 700, 1500])}
    assert used_method(points, centers, sigma, method="pruned", **offsets) == "dense"


@pytest.mark.cpu_only("the choice of the method")
@BOTH_DTYPES
def test_auto_prunes_only_many_points_and_separated_centers(dtype):
    points, centers, sigma = problem(separated_centers, 3, dtype, n=30_000, m=10_000)
    assert used_method(points, centers, sigma) == "pruned"
    assert used_method(points[:100], centers, sigma) == "dense"
    assert used_method(points, centers, 1.0) == "dense"


@pytest.mark.cpu_only("names of methods")
@pytest.mark.parametrize("method", ["Dense", "", "tree"])
def test_unknown_method_is_refused(method):
    with pytest.raises(ValueError, match=r"method: got .*, wanted one of auto, dense, pruned, gridded"):
        log_sum_exp(np.zeros((2, 2)), np.zeros((2, 2)), 1.0, method=method)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, np.inf])
def test_tolerance_that_is_not_positive_and_finite_is_refused(tolerance):
    with pytest.raises(ValueError, match=r"tolerance: got .*, wanted a positive, finite number"):
        log_sum_exp(np.zeros((2, 2)), np.zeros((2, 2)), 1.0, tolerance=tolerance)


@BOTH_DTYPES
def test_values_too_large_relative_to_sigma_are_refused(dtype):
    huge_values = np.full((50, 2), np.finfo(dtype).max)
    for points, centers, name in ((huge_values, 0 * huge_values, "points"), (0 * huge_values, huge_values, "centers")):
        with pytest.raises(ValueError, match=f"{name}: got a finite value too large relative to sigma"):
            log_sum_exp(points, centers, 1.0, method="pruned")
