"""Gradients of the isotropic log-sum-exp: error bound, agreement with the reference, equal bits by threads."""

from itertools import pairwise

import numpy as np
import pytest

from layerbits.kernels import reference
from tests.support.exact_mixture import assert_gradients_within_bound, eps, exact_gradients
from tests.support.mixture_problems import gradient_problem
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, Gradients, gradients


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize(("m", "n", "d"), [(1, 1, 1), (17, 33, 3), (33, 9, 8), (8, 41, 17), (5, 16, 65), (3, 7, 784)])
def test_error_is_within_the_bound_in_1_to_784_dimensions(level, dtype, m, n, d):
    points, centers, weights, upstream = gradient_problem(m, n, d, dtype)
    sigma = 0.6 * d**0.5
    for center_weights in (None, weights):
        result = gradients(points, centers, sigma, upstream, weights=center_weights, level=level)
        assert_gradients_within_bound(result, points, centers, sigma, upstream, weights=center_weights)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("scale", [1, 10])
def test_error_is_within_the_bound_at_a_small_sigma_and_large_activations(level, dtype, scale):
    _, centers, weights, upstream = gradient_problem(24, 60, 10, dtype, scale=scale)
    noise = 0.005 * np.random.default_rng(9).standard_normal((24, 10))
    points = (centers[:24] + noise).astype(dtype)
    result = gradients(points, centers, 0.005, upstream, weights=weights, level=level)
    assert_gradients_within_bound(result, points, centers, 0.005, upstream, weights=weights)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize(("m", "n"), [(137, 2061), (2061, 137)])
def test_error_is_within_the_bound_for_several_cells_and_their_tails(level, dtype, m, n):
    points, centers, weights, upstream = gradient_problem(m, n, 2, dtype)
    result = gradients(points, centers, 0.7, upstream, weights=weights, level=level, threads=2)
    assert_gradients_within_bound(result, points, centers, 0.7, upstream, weights=weights)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("distance", [1e2, 1e4, 1e6])
def test_error_is_within_the_bound_far_from_every_center(level, dtype, distance):
    centers, points = np.array([[0.0], [1.0]], dtype), np.array([[distance]], dtype)
    result = gradients(points, centers, 0.01, [1.0], level=level)
    assert_gradients_within_bound(result, points, centers, 0.01, [1.0])


def far_tolerance(dtype, exponent):
    """Return the largest relative error of gradients if log-sum and gradient round the exponents in the same way.

    A log-sum of this exponent has at most 5 relative errors of 2^-53: log 2, a product and a sum in the log-sum, log2 e
    and a product in the gradient. In the dtype, two powers of 2 and a logarithm have errors of at most 1.5 eps, and at
    most 7 products, sums and conversions have errors of eps / 2.
    """
    return 8 * eps(dtype) + 5 * 2.0**-53 * exponent


def assert_gradients_close(result, expected, rtol):
    for name in Gradients._fields:
        np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=rtol, atol=0, err_msg=name)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("exponent", [1e3, 1e6, 1e8, 1e10])
def test_softmax_weights_of_a_distant_point_add_up_to_one(level, dtype, exponent):
    # Both squared distances are exactly 4, so that p is (1/2, 1/2) for any rounding of the exponent.
    sigma = (4 / (2 * exponent)) ** 0.5
    points, centers = np.array([[0, 0]], dtype), np.array([[2, 0], [0, 2]], dtype)
    result = gradients(points, centers, sigma, [1.0], level=level)
    expected = Gradients(
        points=[[1 / sigma**2] * 2],
        centers=np.array([[-1, 0], [0, -1]]) / sigma**2,
        weights=[0.5, 0.5],
        sigma=[4 / sigma**3],
    )
    assert_gradients_close(result, expected, far_tolerance(dtype, exponent))


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("exponent", [1e2, 1e4, 1e6, 1e8])
def test_gradient_of_the_only_center_in_reach_keeps_its_digits(level, dtype, exponent):
    # Log-sum and gradient round an exponent in the same way, so p = 1 for the near center, whose gradient is
    # (x - c) / sigma^2.
    points = np.array([[0, 0], [100, 100]], dtype)
    centers = np.array([[1.25, 0.75], [101.5, 100.25]], dtype)
    sigma = (2.25 / (2 * exponent)) ** 0.5
    difference = points.astype(float) - centers.astype(float)
    squares = (difference**2).sum(axis=1)
    expected = Gradients(-difference / sigma**2, difference / sigma**2, np.ones(2), squares / sigma**3)
    result = gradients(points, centers, sigma, [1.0, 1.0], level=level)
    assert_gradients_close(result, expected, far_tolerance(dtype, exponent))


@pytest.mark.parametrize("weighted", [False, True])
def test_error_of_the_reference_is_within_the_bound(weighted):
    points, centers, weights, upstream = gradient_problem(17, 33, 3, np.float64)
    weights = weights if weighted else None
    result = Gradients(*reference.log_sum_exp_isotropic_gradient(points, centers, 1.0, upstream, weights=weights))
    exact, bounds = exact_gradients(points, centers, 1.0, upstream, weights=weights)
    for name in ("points", "centers", "weights"):
        assert (np.abs(getattr(result, name) - getattr(exact, name)) <= getattr(bounds, name)).all(), name
    # The reference sums the contributions of the rows to the gradient of sigma.
    assert abs(result.sigma - exact.sigma.sum()) <= bounds.sigma.sum()


@BOTH_DTYPES
@pytest.mark.parametrize("weighted", [False, True])
def test_reference_and_kernel_agree_for_ragged_groups(dtype, weighted):
    points, centers, weights, upstream = gradient_problem(12, 30, 3, dtype)
    weights = weights if weighted else None
    point_offsets, center_offsets = [0, 4, 4, 12], [0, 11, 20, 30]
    result = gradients(
        points, centers, 1.0, upstream, weights=weights,
        point_offsets=np.array(point_offsets), center_offsets=np.array(center_offsets),
    )  # fmt: skip
    references, bounds = [], []
    for (i, j), (k, n) in zip(pairwise(point_offsets), pairwise(center_offsets), strict=True):
        group = points[i:j], centers[k:n], 1.0, upstream[i:j]
        group_weights = None if weights is None else weights[k:n]
        references.append(Gradients(*reference.log_sum_exp_isotropic_gradient(*group, weights=group_weights)))
        bounds.append(exact_gradients(*group, weights=group_weights)[1])
    # Kernel and reference differ from the exact gradients by at most the bound each.
    for name in ("points", "centers", "weights"):
        expected, bound = (np.concatenate([getattr(part, name) for part in parts]) for parts in (references, bounds))
        assert (np.abs(getattr(result, name) - expected) <= 2 * bound).all(), name
    sigma_bound = 2 * sum(part.sigma.sum() for part in bounds)
    assert abs(result.sigma.sum() - sum(part.sigma for part in references)) <= sigma_bound


@pytest.mark.cpu_only("threads")
@BOTH_DTYPES
@pytest.mark.parametrize("threads", [2, 5])
def test_group_divided_among_threads_has_the_bits_of_one_thread(dtype, threads):
    # The large group has 2 x 79 cells, in several waves; the small groups are not divided.
    points, centers, weights, upstream = gradient_problem(1040, 20_010, 3, dtype)
    offsets = {"point_offsets": np.array([0, 7, 1036, 1040]), "center_offsets": np.array([0, 5, 20_000, 20_010])}
    serial, parallel = (
        gradients(points, centers, 0.7, upstream, weights=weights, threads=count, **offsets) for count in (1, threads)
    )
    for name in Gradients._fields:
        np.testing.assert_array_equal(getattr(parallel, name), getattr(serial, name), err_msg=name)
