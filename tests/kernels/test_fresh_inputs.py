"""Error bounds for problems with a new random seed in every run; a failure prints the seed."""

import secrets

import numpy as np

from tests.support.exact_mixture import eps, error_ratio, exact_gradients
from tests.support.native_calls import BOTH_DTYPES, Gradients, gradients


def problem(seed, dtype):
    """Return points (centers plus noise), centers, sigma and weights, of random sizes and scales."""
    generator = np.random.default_rng(seed)
    m, n, d = (int(2 ** generator.uniform(0, largest)) for largest in (7, 10, 6.5))
    sigma = 10 ** generator.uniform(-3, 1)
    centers = generator.standard_normal((n, d)) * 10 ** generator.uniform(-1, 1) * sigma
    points = centers[generator.integers(0, n, m)] + sigma * generator.standard_normal((m, d))
    weights = 10 ** generator.uniform(-6, 0, n)
    return points.astype(dtype), centers.astype(dtype), sigma, weights.astype(dtype)


@BOTH_DTYPES
def test_error_of_a_log_sum_is_within_its_bound(dtype):
    for seed in (secrets.randbits(32) for _ in range(10)):
        points, centers, sigma, weights = problem(seed, dtype)
        assert error_ratio(points, centers, sigma, weights=weights) <= 1, seed


@BOTH_DTYPES
def test_error_of_a_gradient_is_within_its_bound(dtype):
    for seed in (secrets.randbits(32) for _ in range(10)):
        points, centers, sigma, weights = problem(seed, dtype)
        upstream = np.random.default_rng(seed).standard_normal(len(points))
        result = gradients(points, centers, sigma, upstream, weights=weights)
        exact, bounds = exact_gradients(points, centers, sigma, upstream, weights=weights)
        # Terms below the range of the dtype underflow.
        underflow = len(points) * len(centers) * np.finfo(dtype).tiny / eps(dtype)
        for name in Gradients._fields:
            error = np.abs(getattr(result, name) - getattr(exact, name))
            assert (error <= getattr(bounds, name) + underflow).all(), (name, seed)
