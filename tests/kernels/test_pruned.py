"""Pruned log-sum-exps: within the contract and the tolerance of the truth, the same bits however asked, and dense where
a tree is of no use."""

import numpy as np
import pytest

from layerbits.kernels import _cpu
from tests.support.exact_mixture import DTYPES, LEVELS, allowed, native, truth

BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)
EVERY_LEVEL = pytest.mark.parametrize("level", LEVELS)

SIGMA = 0.005


def far_apart(generator, n, d):
    """Centers that a query tells apart: most are out of its reach."""
    return generator.uniform(-1, 1, (n, d))


def saturated(generator, n, d):
    """Corners of a cube, as tanh leaves them: some centers are equal, some nearly, some far from their corner."""
    corners = generator.choice([-1.0, 1.0], (n, d))
    return np.tanh(corners * generator.uniform(2, 12, (n, 1)) + generator.normal(0, 0.1, (n, d)))


def clusters_of_all_sizes(generator, n, d):
    """Clusters from a millionth of a sigma to ten sigmas wide."""
    sizes = SIGMA * 10.0 ** generator.uniform(-6, 1, (20, 1))
    which = generator.integers(20, size=n)
    return generator.uniform(-1, 1, (20, d))[which] + sizes[which] * generator.standard_normal((n, d))


def one_cloud(generator, n, d):
    """All centers matter to all queries."""
    return generator.normal(0, 2 * SIGMA, (n, d))


SHAPES_OF_DATA = pytest.mark.parametrize("shape", [far_apart, saturated, clusters_of_all_sizes, one_cloud])


def problem(shape, d, dtype, *, n=1500, m=60, scale=1.0):
    """Queries at centers and noise, and some anywhere; in `dtype`, and of coordinates up to `scale`."""
    generator = np.random.default_rng(d)
    centers = scale * shape(generator, n, d)
    queries = centers[generator.integers(n, size=m)] + scale * SIGMA * generator.standard_normal((m, d))
    queries[::10] = scale * generator.uniform(-1.2, 1.2, (len(queries[::10]), d))
    return queries.astype(dtype), centers.astype(dtype), scale * SIGMA


def assert_true(points, centers, sigma, tolerance, *, weights=None, level=""):
    options = {} if tolerance is None else {"tolerance": tolerance}
    got = native(points, centers, sigma, weights=weights, method="pruned", level=level, **options)
    want, mean_exponent = truth(points, centers, sigma, weights=weights)
    eps = np.finfo(points.dtype).eps
    bound = allowed(mean_exponent, points.shape[1], points.dtype) + (eps / 2 if tolerance is None else tolerance)
    error = np.abs(got - want)
    assert (error <= bound).all(), float((error / bound).max())


@EVERY_LEVEL
@BOTH_DTYPES
@SHAPES_OF_DATA
@pytest.mark.parametrize("d", [1, 2, 3, 8, 9, 70])
def test_error_is_within_contract_and_tolerance(level, dtype, shape, d):
    points, centers, sigma = problem(shape, d, dtype)
    for tolerance in (None, 1e-3):
        assert_true(points, centers, sigma, tolerance, level=level)


@BOTH_DTYPES
@SHAPES_OF_DATA
@pytest.mark.parametrize("tolerance", [None, 1e-6, 0.1])
def test_error_is_within_the_tolerance_with_weights_of_all_sizes(dtype, shape, tolerance):
    points, centers, sigma = problem(shape, 3, dtype)
    weights = (10.0 ** np.random.default_rng(0).uniform(-9, 3, len(centers))).astype(dtype)
    weights[::7] = 0
    assert_true(points, centers, sigma, tolerance, weights=weights)


@BOTH_DTYPES
@pytest.mark.parametrize("scale", [1, 10, 1e-30])
def test_error_is_within_the_tolerance_at_any_scale(dtype, scale):
    points, centers, sigma = problem(clusters_of_all_sizes, 4, dtype, scale=scale)
    assert_true(points, centers, sigma, None)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [3, 70])
@pytest.mark.parametrize("exponent", [1e4, 1e7, 1e9, 1e10, 1e12, 1e20])
def test_far_rows_are_within_the_contract(level, dtype, d, exponent):
    # Bounds and distances round by more than 2^x resolves: the first reference must not be too high for every term.
    points, centers, _ = problem(one_cloud, d, dtype, scale=1 / SIGMA)
    assert_true(points, centers, (d / exponent) ** 0.5, None, level=level)


@EVERY_LEVEL
@pytest.mark.parametrize("offset", [1e4, 1e5, 1e6, 1e7])
@pytest.mark.parametrize("tolerance", [None, 0.1])
def test_mean_that_the_dtype_rounds_is_taken_where_it_is(level, offset, tolerance):
    # At these offsets float32 has steps of a thousandth to one sigma, and the means of leaves fall between them.
    generator = np.random.default_rng(0)
    step = np.spacing(np.float32(offset))
    centers = (offset + step * generator.integers(0, 2, (97, 8))).astype(np.float32)
    for moved in (0, 3, -3):
        points = (centers[:20] + round(moved / step) * step).astype(np.float32)
        assert_true(points, centers, 1.0, tolerance, level=level)


def test_bound_by_a_rounded_mean_leaves_out_nothing_that_matters():
    # 32 corners of a cube of side sigma, 4 of 8 coordinates at the far side, are all as far from a query on the
    # diagonal as their mean and variance say, 15.6 sigma. If the mean were at the near corner, to which float32 rounds
    # it, they would seem to be 14.2 sigma away, and what really is nearest, at 15 sigma, would be left out.
    corner = np.float32(2**24)
    query = np.full((1, 8), -10.0)
    corners = [np.roll([0, 0, 0, 0, 2, 2, 2, 2], i) for i in range(32)]
    nearest = np.repeat(query + 30 * np.eye(1, 8), 32, axis=0)
    points, centers = (np.float32(corner + array) for array in (query, np.concatenate([corners, nearest])))
    assert_true(points, centers, 2.0, 0.1)


def sphere_about_a_center(radius, dtype=np.float64):
    """A query at a center, and 4000 more centers at this distance from it."""
    sphere = np.random.default_rng(0).standard_normal((4000, 3))
    sphere *= radius / np.linalg.norm(sphere, axis=1, keepdims=True)
    return np.zeros((1, 3), dtype), np.concatenate([np.zeros((1, 3)), sphere]).astype(dtype)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_what_is_left_out_adds_up_to_less_than_the_tolerance(tolerance):
    # Each center is just out of reach: where leaving it out is worth it, and leaving out all of them costs most.
    for farther in (0.98, 1.0, 1.02, 1.05):
        points, centers = sphere_about_a_center(farther * np.sqrt(2 * np.log(4000 / tolerance)))
        got = native(points, centers, 1.0, method="pruned", tolerance=tolerance)
        want, _ = truth(points, centers, 1.0)
        assert abs(got - want) <= tolerance


@BOTH_DTYPES
def test_default_leaves_out_nothing_above_rounding(dtype):
    # These centers weigh 10 eps, twice what contract and tolerance allow together.
    points, centers = sphere_about_a_center(np.sqrt(2 * np.log(4000 / (10 * np.finfo(dtype).eps))), dtype)
    assert_true(points, centers, 1.0, None)


def test_looser_tolerance_leaves_out_more():
    points, centers, sigma = problem(clusters_of_all_sizes, 3, np.float64)
    dense, loose = native(points, centers, sigma), native(points, centers, sigma, method="pruned", tolerance=0.1)
    assert np.abs(loose - dense).max() > 1e-9  # rounding alone is below 1e-13


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 3, 9])
def test_equal_centers_are_one_of_their_weight(level, dtype, d):
    # Near the centers the contract has no room for the logarithm of a weight, rounded: only our log rounds, by 1.5 ulp.
    generator = np.random.default_rng(d)
    for n in (33, 500, 2900, 300_000):
        centers = np.repeat(generator.standard_normal((1, d)).astype(dtype), n, axis=0)
        points = (centers[:40] + 0.01 * generator.standard_normal((len(centers[:40]), d))).astype(dtype)
        got = native(points, centers, 1.0, method="pruned", level=level)
        of_one, mean_exponent = truth(points, centers[:1], 1.0)
        want = of_one + np.log(np.longdouble(n))
        bound = allowed(mean_exponent, d, dtype) + np.finfo(dtype).eps / 2 + 1.5 * np.spacing(np.log(n))
        assert (np.abs(got - want) <= bound).all()


@BOTH_DTYPES
@SHAPES_OF_DATA
@pytest.mark.parametrize("threads", [2, 5])
def test_number_of_threads_changes_no_bit(dtype, shape, threads):
    points, centers, sigma = problem(shape, 4, dtype, n=20_000, m=3000)
    one = native(points, centers, sigma, method="pruned")
    np.testing.assert_array_equal(native(points, centers, sigma, method="pruned", threads=threads), one)


@EVERY_LEVEL
@BOTH_DTYPES
@SHAPES_OF_DATA
def test_row_alone_equals_row_in_batch(level, dtype, shape):
    points, centers, sigma = problem(shape, 3, dtype)
    for tolerance in (1e-6, 1e-2):
        options = {"method": "pruned", "tolerance": tolerance, "level": level}
        batch = native(points, centers, sigma, **options)
        alone = [native(points[i : i + 1], centers, sigma, **options)[0] for i in range(len(points))]
        np.testing.assert_array_equal(batch, alone)


@pytest.mark.skipif("avx512" not in LEVELS, reason="this machine has no AVX-512 to compare AVX2 with")
@BOTH_DTYPES
@SHAPES_OF_DATA
def test_avx2_and_avx512_agree_in_bits(dtype, shape):
    points, centers, sigma = problem(shape, 3, dtype)
    wide, narrow = (native(points, centers, sigma, method="pruned", level=level) for level in ("avx512", "avx2"))
    np.testing.assert_array_equal(wide, narrow)


@EVERY_LEVEL
@BOTH_DTYPES
def test_special_rows_are_as_in_a_dense_sum(level, dtype):
    points, centers, sigma = problem(far_apart, 3, dtype)
    points[1, 0], points[2, 1], points[3, 2] = np.nan, np.inf, -np.inf
    points[4] = 1e17  # squared, beyond float32 beside sigma
    got = native(points, centers, sigma, method="pruned", level=level)
    dense = native(points, centers, sigma, method="dense", level=level)
    assert np.isnan(got[1])
    assert (got[2:4] == -np.inf).all()
    # Both are sums of terms that are wrong by some eps of their exponents, which are all about the same in row 4.
    np.testing.assert_allclose(got, dense, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("far", [np.inf, -np.inf, 1e12, 1e30])
def test_far_row_amid_rows_that_take_centers_as_one_is_as_alone(level, dtype, far):
    generator = np.random.default_rng(0)
    centers = generator.normal(0, 0.01, (4000, 3)).astype(dtype)
    points = generator.standard_normal((64, 3)).astype(dtype)
    points[::9] = far
    options = {"method": "pruned", "tolerance": 0.1, "level": level}
    alone = native(points[:1], centers, 1.0, **options)
    assert not np.isnan(alone)
    np.testing.assert_array_equal(native(points, centers, 1.0, **options)[::9], np.repeat(alone, 8))


def method_used(points, centers, sigma, **options):
    return _cpu.log_sum_exp_isotropic(points, centers, sigma, np.empty(len(points)), **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_centers_that_are_not_finite_are_summed_densely(value):
    points, centers, sigma = problem(far_apart, 3, np.float64)
    centers[700, 1] = value
    assert method_used(points, centers, sigma, method="pruned") == "dense"
    np.testing.assert_array_equal(
        native(points, centers, sigma, method="pruned"), native(points, centers, sigma, method="dense")
    )


@pytest.mark.parametrize(("m", "n"), [(0, 5), (5, 0)])
def test_nothing_to_prune_is_summed_densely(m, n):
    points, centers = np.zeros((m, 3)), np.zeros((n, 3))
    assert method_used(points, centers, 1.0, method="pruned") == "dense"
    np.testing.assert_array_equal(native(points, centers, 1.0, method="pruned"), native(points, centers, 1.0))


def test_groups_are_summed_densely():
    points, centers, sigma = problem(far_apart, 3, np.float64)
    offsets = {"point_offsets": np.array([0, 10, 60]), "center_offsets": np.array([0, 700, 1500])}
    assert method_used(points, centers, sigma, method="pruned", **offsets) == "dense"


@BOTH_DTYPES
def test_auto_prunes_many_separated_rows_and_nothing_else(dtype):
    points, centers, sigma = problem(far_apart, 3, dtype, n=30_000, m=10_000)
    assert method_used(points, centers, sigma) == "pruned"
    assert method_used(points[:100], centers, sigma) == "dense"
    assert method_used(points, centers, 1.0) == "dense"


@pytest.mark.parametrize("method", ["Dense", "", "tree"])
def test_unknown_method_is_refused(method):
    with pytest.raises(ValueError, match=r"method: got .*, wanted one of auto, dense, pruned"):
        native(np.zeros((2, 2)), np.zeros((2, 2)), 1.0, method=method)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, np.inf])
def test_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(ValueError, match=r"tolerance: got .*, wanted a positive, finite number"):
        native(np.zeros((2, 2)), np.zeros((2, 2)), 1.0, tolerance=tolerance)


@BOTH_DTYPES
def test_values_too_large_beside_sigma_are_named(dtype):
    huge = np.full((50, 2), np.finfo(dtype).max)
    for points, centers, name in ((huge, 0 * huge, "points"), (0 * huge, huge, "centers")):
        with pytest.raises(ValueError, match=f"{name}: got a finite value too large beside sigma"):
            native(points, centers, 1.0, method="pruned")
