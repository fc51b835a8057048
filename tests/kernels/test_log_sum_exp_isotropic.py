"""The error of the isotropic log-sum-exp is within its bound."""

import itertools

import mpmath
import numpy as np
import pytest

from layerbits.kernels import reference
from tests.support.exact_mixture import error_bound, error_ratio, exact_log_sums
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, log_sum_exp
from tests.support.one_sided_roundings import one_sided_roundings


def normal(shape, dtype, *, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def queries_of(centers, sigma, m, *, seed=1):
    """Return m random centers plus noise, as in the estimators."""
    generator = np.random.default_rng(seed)
    points = centers[generator.integers(len(centers), size=m)]
    return (points + sigma * generator.standard_normal(points.shape)).astype(centers.dtype)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 64, 65, 128, 784])
def test_error_is_within_the_bound_in_1_to_784_dimensions(level, dtype, d):
    assert error_ratio(normal((21, d), dtype), normal((43, d), dtype, seed=1), 0.4 * d**0.5, level=level) <= 1


@pytest.mark.parametrize("method", ["dense", "pruned"])
def test_error_is_within_the_bound_for_weights_whose_ratio_underflows(method):
    centers = normal((50, 2), np.float64)
    weights = 10.0 ** np.random.default_rng(0).uniform(-320, 300, 50)
    assert error_ratio(centers[:20], centers, 0.001, weights=weights, method=method) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("method", ["dense", "pruned"])
@pytest.mark.parametrize("d", [16, 31, 32, 64, 65, 128, 1024])
def test_error_is_within_the_bound_for_equal_differences(level, dtype, method, d):
    # Each addition of equal squares may round in the same direction, so that a plain sum loses d/2 eps.
    differences = 10 ** np.random.default_rng(0).uniform(-1, 1, 50)
    for difference in differences:
        centers = np.full((1, d), difference, dtype)
        assert error_ratio(np.zeros((1, d), dtype), centers, 1.0, level=level, method=method) <= 1


@EVERY_LEVEL
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("d", [32, 128])
def test_error_is_within_the_larger_bound_for_roundings_of_one_sign(level, d, sign):
    point, center, _ = one_sided_roundings(d, 32, sign, has_factors=False)
    assert error_ratio(point, center, 1.0, level=level) <= (20 + d / 64) / (4 + d / 64)


@EVERY_LEVEL
@BOTH_DTYPES
def test_error_is_within_the_bound_for_every_tail_of_points_and_centers(level, dtype):
    sizes = itertools.product([1, 7, 8, 9, 15, 16, 17, 31, 33, 127, 128, 129], [1, 2, 7, 8, 9, 15, 16, 17, 31, 33])
    for m, n in sizes:
        assert error_ratio(normal((m, 3), dtype), normal((n, 3), dtype, seed=1), 2.0, level=level) <= 1, (m, n)


@BOTH_DTYPES
@pytest.mark.parametrize(
    ("d", "n"), [(3, 8191), (3, 8192), (3, 8193), (3, 16392), (200, 4847), (200, 4848), (200, 4849), (200, 9704)]
)
def test_error_is_within_the_bound_for_the_tail_of_a_chunk(dtype, d, n):
    # A chunk is 8 times 2^17 / (d + 16) centers, at most 8192; its last block and the last chunk have tails.
    assert error_ratio(normal((5, d), dtype), normal((n, d), dtype, seed=1), d**0.5, threads=2) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("scale", [1, 10])
@pytest.mark.parametrize("offset", [0, 7, 300])
@pytest.mark.parametrize("d", [2, 10, 50])
def test_error_is_within_the_bound_at_a_small_sigma_and_large_activations(level, dtype, scale, offset, d):
    # |a|^2 + |b|^2 - 2ab in float32 would have an error of about eps |a|^2 / sigma^2 = 0.005 |a|^2 nats.
    centers = (scale * np.tanh(normal((200, d), np.float64, scale=2)) + offset).astype(dtype)
    assert error_ratio(queries_of(centers, 0.005, 40), centers, 0.005, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("exponent", [1e2, 1e4, 1e6, 5e6, 1e7, 1e8, 1e10, 1e12, 1e20, 1e24])
def test_error_is_within_the_bound_for_distant_points(level, dtype, exponent):
    # Exponents beyond 2^22 (float32) and 2^51 (float64) have rounding errors above 1.
    points, centers = normal((50, 3), dtype), normal((101, 3), dtype, seed=1)
    assert error_ratio(points, centers, (2 / exponent) ** 0.5, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("order", [1, -1], ids=["receding", "approaching"])
def test_error_is_within_the_bound_for_distant_centers_an_ulp_apart(level, dtype, order):
    # Squares are 1.89 + k ulps, with one k for each block of eight, and an ulp of the exponent exceeds the resolution
    # of 2^x. In the two ranges of exponents an ulp is 2^7 to 2^9, outside the domain of 2^x, so that the reference must
    # change at every step and must not change between steps.
    steps = np.repeat(np.arange(250), 8)[::order]
    centers = np.stack([np.full(2000, 1.375), np.sqrt(steps * np.finfo(dtype).eps)], axis=1).astype(dtype)
    for exponent in (1e7, 1e12, 1e20, *np.geomspace(1e9, 3e9, 12), *np.geomspace(2e18, 6e18, 12)):
        sigma = 1 / (2 * exponent) ** 0.5
        assert error_ratio(np.zeros((3, 2), dtype), centers, sigma, level=level) <= 1, exponent


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("sigma", [1e-12, 1e-5, 1e5, 1e30])
def test_error_is_within_the_bound_at_any_scale_of_sigma(level, dtype, sigma):
    points, centers = normal((20, 3), dtype, scale=sigma), normal((43, 3), dtype, seed=1, scale=sigma)
    assert error_ratio(points, centers, sigma, level=level) <= 1


@EVERY_LEVEL
def test_error_is_within_the_bound_at_a_sigma_of_1e_minus_30_in_float64(level):
    assert error_ratio(normal((20, 3), np.float64), normal((43, 3), np.float64, seed=1), 1e-30, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("order", ["near first", "near last"])
def test_error_is_within_the_bound_for_any_order_of_near_and_distant_centers(level, dtype, order):
    # "near last" makes the reference change at every block; "near first" makes the kernel skip all blocks but one.
    radii = np.linspace(0.01, 60, 200)[:: 1 if order == "near first" else -1]
    directions = normal((200, 3), np.float64)
    centers = radii[:, None] * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert error_ratio(normal((33, 3), dtype), centers.astype(dtype), 0.7, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("kind", ["uniform", "some zero", "tiny", "one dominates", "small total", "large total"])
def test_error_is_within_the_bound_for_weights_of_any_size(level, dtype, kind):
    generator = np.random.default_rng(5)
    weights = generator.random(75)
    if kind == "some zero":
        weights[::3] = 0
    elif kind == "tiny":
        weights[::2] = 1e-30
    elif kind == "one dominates":
        weights[7] = 1e8
    elif kind != "uniform":
        weights *= 1e-20 if kind == "small total" else 1e20
    points, centers = normal((37, 4), dtype), normal((75, 4), dtype, seed=1)
    assert error_ratio(points, centers, 0.6, weights=weights.astype(dtype), level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("layout", ["coincident", "equidistant"])
@pytest.mark.parametrize("n", [1000, 20_000])
def test_rounding_errors_of_many_equal_terms_do_not_accumulate(level, dtype, layout, n):
    # Sign flips of a vector have exactly equal distances, so every term rounds in the same direction: the error of a
    # plain sum would grow with n.
    signs = np.random.default_rng(0).choice([-1, 1], size=(n, 5)) if layout == "equidistant" else np.ones((n, 5))
    vector = np.array([0.3, 0.41, 0.17, 0.59, 0.23]).astype(dtype)
    centers = (vector * signs).astype(dtype)
    exponent = -(vector.astype(np.longdouble) ** 2).sum() / (2 * np.longdouble(0.7) ** 2)
    error = log_sum_exp(np.zeros((3, 5), dtype), centers, 0.7, level=level) - (np.log(np.longdouble(n)) + exponent)
    assert np.abs(error).max() <= error_bound(abs(exponent), 5, dtype)


@pytest.mark.parametrize(
    ("points", "centers", "sigma", "weights"),
    [
        ([[0.1, 0.2]], [[0.3, 0.5], [-1.0, 2.0]], 0.25, [1.0, 1.0]),
        ([[10.0, -3.0, 1.0]], [[10.01, -3.0, 1.0], [9.99, -3.002, 1.0], [10.0, -2.5, 1.1]], 0.005, [0.2, 0.5, 0.3]),
        ([[0.0]], [[700.0], [700.5]], 1.0, [1e-30, 1.0]),
    ],
)
def test_exact_values_and_kernel_agree_with_fifty_digits(points, centers, sigma, weights):
    arrays = np.array(points), np.array(centers)
    with mpmath.workdps(50):
        terms = [
            mpmath.mpf(w)
            * mpmath.exp(
                -sum((mpmath.mpf(x) - c) ** 2 for x, c in zip(points[0], center, strict=True))
                / (2 * mpmath.mpf(sigma) ** 2)
            )
            for center, w in zip(centers, weights, strict=True)
        ]
        expected = mpmath.log(mpmath.fsum(terms))
        exact, mean_exponent = exact_log_sums(*arrays, sigma, weights=np.array(weights))
        # The bound of np.longdouble is the same with its eps of 2^-63.
        assert abs(mpmath.mpf(str(exact[0])) - expected) <= (4 + 3 / 64) * mpmath.mpf(2) ** -63 * (
            1 + float(mean_exponent[0])
        )
        log_sum = log_sum_exp(*arrays, sigma, weights=np.array(weights))
        assert abs(mpmath.mpf(float(log_sum[0])) - expected) <= error_bound(
            float(mean_exponent[0]), arrays[0].shape[1], np.float64
        )


@BOTH_DTYPES
@pytest.mark.parametrize("weighted", [False, True])
def test_reference_and_kernel_agree(dtype, weighted):
    points, centers = normal((40, 6), dtype), normal((70, 6), dtype, seed=1)
    weights = np.random.default_rng(2).random(70).astype(dtype) if weighted else None
    _, mean_exponent = exact_log_sums(points, centers, 0.8, weights=weights)
    difference = log_sum_exp(points, centers, 0.8, weights=weights) - reference.log_sum_exp_isotropic(
        points, centers, 0.8, weights=weights
    )
    # The reference is plain float64: each of its d + n + 8 operations rounds by 2^-52 (1 + mean exponent).
    reference_error = (6 + 70 + 8) * 2.0**-52 * (1 + mean_exponent)
    assert (np.abs(difference) <= error_bound(mean_exponent, 6, dtype) + reference_error).all()


@BOTH_DTYPES
def test_translation_by_a_power_of_two_changes_no_bit(dtype):
    # All sums with 64 are exact on a grid of 2^-8, so all differences are equal.
    generator = np.random.default_rng(0)
    points, centers = (generator.integers(-512, 512, size=(rows, 4)) / 256 for rows in (20, 50))
    moved = log_sum_exp((points + 64).astype(dtype), (centers + 64).astype(dtype), 0.5)
    assert (moved == log_sum_exp(points.astype(dtype), centers.astype(dtype), 0.5)).all()
