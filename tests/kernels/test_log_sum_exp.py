"""The log-sum-exp keeps its error contract: every level, dtype, width, tail and hard case, against more digits."""

import mpmath
import numpy as np
import pytest

from layerbits.kernels import reference
from tests.support.exact_mixture import DTYPES, LEVELS, allowed, excess, native, truth

EVERY_LEVEL = pytest.mark.parametrize("level", LEVELS)
BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)


def normal(shape, dtype, *, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def queries_of(centers, sigma, m, *, seed=1):
    """Points as an estimator asks them: a center plus noise."""
    generator = np.random.default_rng(seed)
    chosen = centers[generator.integers(len(centers), size=m)]
    return (chosen + sigma * generator.standard_normal(chosen.shape)).astype(centers.dtype)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 64, 65, 128, 784])
def test_error_is_within_the_contract_at_every_width(level, dtype, d):
    assert excess(normal((21, d), dtype), normal((43, d), dtype, seed=1), 0.4 * d**0.5, level=level) <= 1


@pytest.mark.parametrize("method", ["dense", "pruned"])
def test_weights_whose_ratio_underflows_count_where_they_are_alone(method):
    centers = normal((50, 2), np.float64)
    weights = 10.0 ** np.random.default_rng(0).uniform(-320, 300, 50)
    assert excess(centers[:20], centers, 0.001, weights=weights, method=method) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("method", ["dense", "pruned"])
@pytest.mark.parametrize("d", [16, 31, 32, 64, 65, 128, 1024])
def test_equal_differences_round_alike_within_the_contract(level, dtype, method, d):
    # Each addition of equal squares may err to the same side, so that a plain sum loses d/2 eps.
    differences = 10 ** np.random.default_rng(0).uniform(-1, 1, 50)
    for difference in differences:
        centers = np.full((1, d), difference, dtype)
        assert excess(np.zeros((1, d), dtype), centers, 1.0, level=level, method=method) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("m", [1, 7, 8, 9, 15, 16, 17, 31, 33, 127, 128, 129])
@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 15, 16, 17, 31, 33])
def test_no_tail_of_rows_or_columns_is_lost(level, dtype, m, n):
    assert excess(normal((m, 3), dtype), normal((n, 3), dtype, seed=1), 2.0, level=level) <= 1


@BOTH_DTYPES
@pytest.mark.parametrize("d", [3, 200])
@pytest.mark.parametrize("n", [8191, 8192, 8193, 16392])
def test_no_tail_of_a_chunk_is_lost(dtype, d, n):
    # A chunk is 2^20 / (d + 16) columns, at most 8192, and its last block and the last chunk have tails.
    assert excess(normal((5, d), dtype), normal((n, d), dtype, seed=1), d**0.5, threads=2) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("scale", [1, 10])
@pytest.mark.parametrize("offset", [0, 7, 300])
@pytest.mark.parametrize("d", [2, 10, 50])
def test_small_sigma_beside_large_activations_costs_nothing(level, dtype, scale, offset, d):
    # |a|^2 + |b|^2 - 2ab in float32 would be off by 0.02 nats at scale 1 and by 12 at scale 10.
    centers = (scale * np.tanh(normal((200, d), np.float64, scale=2)) + offset).astype(dtype)
    assert excess(queries_of(centers, 0.005, 40), centers, 0.005, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("exponent", [1e2, 1e4, 1e6, 5e6, 1e7, 1e8, 1e10, 1e12, 1e20, 1e24])
def test_far_points_keep_the_contract(level, dtype, exponent):
    # Past 2^22 (float32) and 2^51 (float64) an exponent rounds to more than a whole number.
    points, centers = normal((50, 3), dtype), normal((101, 3), dtype, seed=1)
    assert excess(points, centers, (2 / exponent) ** 0.5, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("exponent", [1e7, 1e12, 1e20, *np.geomspace(1e9, 3e9, 12), *np.geomspace(2e18, 6e18, 12)])
@pytest.mark.parametrize("order", [1, -1], ids=["receding", "approaching"])
def test_far_centers_an_ulp_apart_keep_the_contract(level, dtype, exponent, order):
    # Squares are 1.89 + k ulps, one k a block of eight, and an ulp of the exponent is more than 2^x resolves (where
    # it is 2^7 to 2^9, in the two ranges above, 2^x would be junk): the reference must neither creep nor lag behind.
    steps = np.repeat(np.arange(250), 8)[::order]
    centers = np.stack([np.full(2000, 1.375), np.sqrt(steps * np.finfo(dtype).eps)], axis=1).astype(dtype)
    assert excess(np.zeros((3, 2), dtype), centers, 1 / (2 * exponent) ** 0.5, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("sigma", [1e-12, 1e-5, 1e5, 1e30])
def test_scale_of_sigma_does_not_matter(level, dtype, sigma):
    points, centers = normal((20, 3), dtype, scale=sigma), normal((43, 3), dtype, seed=1, scale=sigma)
    assert excess(points, centers, sigma, level=level) <= 1


@EVERY_LEVEL
def test_sigma_of_1e_minus_30_is_fine_in_float64(level):
    assert excess(normal((20, 3), np.float64), normal((43, 3), np.float64, seed=1), 1e-30, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("order", ["near first", "near last"])
def test_order_of_near_and_far_centers_does_not_matter(level, dtype, order):
    # Near last moves the reference at every block, near first ignores all blocks but one.
    radii = np.linspace(0.01, 60, 200)[:: 1 if order == "near first" else -1]
    directions = normal((200, 3), np.float64)
    centers = radii[:, None] * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert excess(normal((33, 3), dtype), centers.astype(dtype), 0.7, level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("kind", ["uniform", "some zero", "tiny", "one dominates", "small total", "large total"])
def test_weights_keep_the_contract(level, dtype, kind):
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
    assert excess(points, centers, 0.6, weights=weights.astype(dtype), level=level) <= 1


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("layout", ["coincident", "equidistant"])
@pytest.mark.parametrize("n", [1000, 20_000])
def test_many_equal_terms_do_not_let_rounding_pile_up(level, dtype, layout, n):
    # Sign flips of a vector are at one distance exactly, so every term rounds the same way: plain sums would drift.
    signs = np.random.default_rng(0).choice([-1, 1], size=(n, 5)) if layout == "equidistant" else np.ones((n, 5))
    vector = np.array([0.3, 0.41, 0.17, 0.59, 0.23]).astype(dtype)
    centers = (vector * signs).astype(dtype)
    exponent = -(vector.astype(np.longdouble) ** 2).sum() / (2 * np.longdouble(0.7) ** 2)
    error = native(np.zeros((3, 5), dtype), centers, 0.7, level=level) - (np.log(np.longdouble(n)) + exponent)
    assert np.abs(error).max() <= allowed(abs(exponent), 5, dtype)


@pytest.mark.parametrize(
    ("points", "centers", "sigma", "weights"),
    [
        ([[0.1, 0.2]], [[0.3, 0.5], [-1.0, 2.0]], 0.25, [1.0, 1.0]),
        ([[10.0, -3.0, 1.0]], [[10.01, -3.0, 1.0], [9.99, -3.002, 1.0], [10.0, -2.5, 1.1]], 0.005, [0.2, 0.5, 0.3]),
        ([[0.0]], [[700.0], [700.5]], 1.0, [1e-30, 1.0]),
    ],
)
def test_truth_and_core_agree_with_fifty_digits(points, centers, sigma, weights):
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
        want = mpmath.log(mpmath.fsum(terms))
        exact, size = truth(*arrays, sigma, weights=np.array(weights))
        # longdouble: the same contract with its own eps of 2^-63.
        assert abs(mpmath.mpf(str(exact[0])) - want) <= (4 + 3 / 64) * mpmath.mpf(2) ** -63 * (1 + float(size[0]))
        got = native(*arrays, sigma, weights=np.array(weights))
        assert abs(mpmath.mpf(float(got[0])) - want) <= allowed(float(size[0]), arrays[0].shape[1], np.float64)


@BOTH_DTYPES
@pytest.mark.parametrize("weighted", [False, True])
def test_twin_and_core_agree(dtype, weighted):
    points, centers = normal((40, 6), dtype), normal((70, 6), dtype, seed=1)
    weights = np.random.default_rng(2).random(70).astype(dtype) if weighted else None
    _, size = truth(points, centers, 0.8, weights=weights)
    difference = native(points, centers, 0.8, weights=weights) - reference.log_sum_exp_isotropic(
        points, centers, 0.8, weights=weights
    )
    # The twin is plain float64: its d + n + 8 operations round by 2^-52 of 1 + size each.
    twin = (6 + 70 + 8) * 2.0**-52 * (1 + size)
    assert (np.abs(difference) <= allowed(size, 6, dtype) + twin).all()


@BOTH_DTYPES
def test_translation_by_a_power_of_two_changes_no_bit(dtype):
    # On a grid of 2^-8 all sums with 64 are exact, so all differences are the same.
    generator = np.random.default_rng(0)
    points, centers = (generator.integers(-512, 512, size=(k, 4)) / 256 for k in (20, 50))
    moved = native((points + 64).astype(dtype), (centers + 64).astype(dtype), 0.5)
    assert (moved == native(points.astype(dtype), centers.astype(dtype), 0.5)).all()
