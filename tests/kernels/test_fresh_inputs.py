"""Problems that nobody has seen: another seed in every run, which a failure names. The bounds hold for any input."""

import secrets

import numpy as np
import pytest

from tests.support.exact_mixture import DTYPES, eps, excess, native, native_gradient, true_gradient


def problem(seed, dtype):
    """Points some sigmas from a center; sizes, scales and weights are random too."""
    generator = np.random.default_rng(seed)
    m, n, d = (int(2 ** generator.uniform(0, most)) for most in (7, 10, 6.5))
    sigma = 10 ** generator.uniform(-3, 1)
    centers = generator.standard_normal((n, d)) * 10 ** generator.uniform(-1, 1) * sigma
    points = centers[generator.integers(0, n, m)] + sigma * generator.standard_normal((m, d))
    weights = 10 ** generator.uniform(-6, 0, n)
    return points.astype(dtype), centers.astype(dtype), sigma, weights.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_sum_is_within_the_contract(dtype):
    for seed in (secrets.randbits(32) for _ in range(10)):
        points, centers, sigma, weights = problem(seed, dtype)
        assert excess(points, centers, sigma, weights=weights) <= 1, seed


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_within_its_bound(dtype):
    for seed in (secrets.randbits(32) for _ in range(10)):
        points, centers, sigma, weights = problem(seed, dtype)
        upstream = np.random.default_rng(seed).standard_normal(len(points))
        log_sum = native(points, centers, sigma, weights=weights)
        got = native_gradient(points, centers, sigma, upstream, log_sum=log_sum, weights=weights)
        for one, want, bound in zip(
            got, *true_gradient(points, centers, sigma, upstream, weights=weights), strict=True
        ):
            # Terms below the range of the dtype are lost.
            lost = len(points) * len(centers) * np.finfo(dtype).tiny / eps(dtype)
            assert (np.abs(one - want) <= bound + lost).all(), seed
