"""Surprisals of channels with common noise: the single pass against 50 digits and against the kernel."""

import math

import mpmath
import numpy as np
import pytest
import torch

from layerbits.mixtures import KnownChannel, common_noise
from tests.support.random_arrays import normal_tensor


def clusters(n, d):
    """Return two clusters a thousand times smaller than their distance, with two pairs of equal points."""
    ends = normal_tensor(2, d)[torch.arange(n) % 2]
    points = ends + 1e-3 * normal_tensor(n, d, seed=1)
    points[2:4] = points[:2]
    return points - points.mean(0)


def exact_log_sum(center, z, centers, sigma):
    """Compute in 50 digits log sum_k exp(e_k) less the exponent of `center`, and sum_k p_k |e_k|."""
    with mpmath.workdps(50):
        sigma = mpmath.mpf(sigma)
        differences = [
            [mpmath.mpf(float(a)) - mpmath.mpf(float(b)) for a, b in zip(center, c, strict=True)] for c in centers
        ]
        noise = [mpmath.mpf(float(value)) for value in z]
        exponents = [
            -mpmath.fsum((u / sigma + v) ** 2 for u, v in zip(row, noise, strict=True)) / 2 for row in differences
        ]
        total = mpmath.fsum(map(mpmath.exp, exponents))
        mean = mpmath.fsum(-mpmath.exp(e) * e for e in exponents) / total
        return float(mpmath.log(total) + mpmath.fsum(v**2 for v in noise) / 2), float(mean)


@pytest.mark.parametrize("sigma", [1e-4, 1e-3, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("centers", [normal_tensor(20, 30), clusters(20, 30)], ids=["cloud", "clusters"])
def test_error_of_the_single_pass_is_within_its_bound(centers, sigma):
    """The bound follows from those of `_squares_and_products`, with |s_i - s_j|^2 <= (4 |e_j| + 2 |z|^2) sigma^2."""
    n, d = centers.shape
    noise = normal_tensor(n, 2, d, seed=9)
    (surprisals,), _ = common_noise._in_one_pass([KnownChannel(centers, sigma)], noise)
    for i, query in [(0, 0), (2, 1), (7, 0)]:
        exact, exponent = exact_log_sum(centers[i], noise[i, query], centers, sigma)
        bound = d * np.finfo(float).eps * (40 * exponent + 22 * float(noise[i, query].square().sum()))
        assert abs(surprisals.marginal[i, query] - (math.log(n) - exact)) <= bound


@pytest.mark.parametrize(("chunk", "summed"), [(1, 1), (1000, 300), (10**9, 10**9)])
def test_single_pass_agrees_with_the_kernel_in_chunks_of_any_size(monkeypatch, chunk, summed):
    """The bound is that of the test against 50 digits, with sum_k p_k |e_k| <= |z|^2 / 2 + log n.

    sum_k p_k |e_k| is the entropy of p less log sum_k exp(e_k). The entropy is at most log n, and the logarithm at
    least the exponent -|z|^2 / 2 of the query's own center; |z|^2 < 80 in 20 dimensions. The kernel rounds its points
    to eps |s|, which moves its exponents by |z| |s| eps / sigma < 9 * 6 * 1e4 eps.
    """
    monkeypatch.setattr(common_noise, "_PAIRS_IN_CHUNK", chunk)
    monkeypatch.setattr(common_noise, "_PAIRS_IN_SUM", summed)
    centers, classes = clusters(41, 20), np.repeat([0, 1, 2], [10, 3, 28])
    channels = [KnownChannel(centers, sigma, classes) for sigma in (1e-4, 1e-3, 0.5, 5.0)]
    noise = normal_tensor(41, 3, 20, seed=9)
    in_one_pass, by_kernel = common_noise._in_one_pass(channels, noise), common_noise._by_kernel(channels, noise)
    bound = np.finfo(float).eps * (20 * (40 * (40 + math.log(41)) + 22 * 80) + 9 * 6e4)
    for single, separate in zip(in_one_pass[0], by_kernel[0], strict=True):
        np.testing.assert_allclose(single.marginal, separate.marginal, rtol=0, atol=bound)
        np.testing.assert_allclose(single.given_class, separate.given_class, rtol=0, atol=bound)
        assert (single.given_input == 0).all()
    np.testing.assert_allclose(in_one_pass[1], by_kernel[1], rtol=0, atol=bound)


def test_only_wide_centers_are_summed_in_a_single_pass(monkeypatch):
    widths = []

    def recording(channels, noise, in_one_pass=common_noise._in_one_pass):
        widths.append(channels[0].centers.shape[1])
        return in_one_pass(channels, noise)

    monkeypatch.setattr(common_noise, "_in_one_pass", recording)
    for d in (200, 5):
        channels = [KnownChannel(normal_tensor(30, d), sigma) for sigma in np.geomspace(0.1, 2, 20)]
        common_noise.common_noise_surprisals(channels, normal_tensor(30, 2, d, seed=1))
    assert widths == [200]
