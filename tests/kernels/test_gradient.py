"""Gradients of the isotropic log-sum-exp: error bound, agreement with the reference, and bits of several threads."""

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
def test_error_is_within_the_bound_at_every_width(level, dtype, m, n, d):
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


def far_tolerance(dtype, exponent):
    """Return a relative tolerance for roundings of the dtype and of a log-sum in float64, without a term eps |e|."""
    return 16 * eps(dtype) + 4 * 2.0**-52 * exponent


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
    groups = [
        reference.log_sum_exp_isotropic_gradient(
            points[i:j], centers[k:n], 1.0, upstream[i:j], weights=None if weights is None else weights[k:n]
        )
        for (i, j), (k, n) in zip(pairwise(point_offsets), pairwise(center_offsets), strict=True)
    ]
    *tensor_gradients, sigma_gradients = zip(*groups, strict=True)
    expected = *map(np.concatenate, tensor_gradients), sum(sigma_gradients)
    # Sums of at most 30 terms below 10, each with an error of 4 eps (2 + |e|) < 100 eps on both sides, as |e| < 20.
    tolerance = 2 * 30 * 10 * 100 * eps(dtype)
    for actual, desired in zip(result._replace(sigma=result.sigma.sum()), expected, strict=True):
        np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance)


@pytest.mark.cpu_only("threads")
@BOTH_DTYPES
@pytest.mark.parametrize("threads", [2, 5])
def test_group_divided_among_threads_has_the_bits_of_one_thread(dtype, threads):
    # The large group is many cells by several cells, in more than one wave; the small groups are not divided.
    points, centers, weights, upstream = gradient_problem(1040, 20_010, 3, dtype)
    offsets = {"point_offsets": np.array([0, 7, 1036, 1040]), "center_offsets": np.array([0, 5, 20_000, 20_010])}
    serial, parallel = (
        gradients(points, centers, 0.7, upstream, weights=weights, threads=count, **offsets) for count in (1, threads)
    )
    for name in Gradients._fields:
        np.testing.assert_array_equal(getattr(parallel, name), getattr(serial, name), err_msg=name)
