"""Densities of decoders: they integrate to one and equal densities by scipy."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from layerbits.estimators.classes import Classes
from layerbits.estimators.decoders import decoders
from layerbits.estimators.log_densities import Queries
from layerbits.statistics import Condition

SIGMA = 0.5
NUMBERS = np.array([0, 0, 1, 0])
CLASSES, NO_LABELS = Classes(NUMBERS, labelled=True), Classes.of(None, 4)
NAMES = ["Gaussian", "shared Gaussian", "shrunk Gaussian", "wide mixture"]


def draws(d, r=5, dtype=np.float64):
    random = np.random.default_rng(d)
    return torch.from_numpy((2 * random.normal(size=(4, 1, d)) + random.normal(size=(4, r, d))).astype(dtype))


def densities(decoder, points, inputs):
    """Return q(t|x), q(t|y) and q(t) at points (m, d), each (inputs, m).

    The noise of the queries is zero, so their log densities are relative to log N(0; 0, SIGMA^2 I).
    """
    repeated = points.expand(len(inputs), -1, -1)
    queries = Queries(repeated, repeated, SIGMA, np.zeros(repeated.shape[:2]), np.array(inputs))
    log_densities = decoder.log_densities(queries)
    volume = (2 * np.pi * SIGMA**2) ** (points.shape[1] / 2)
    return [np.exp(log_densities[condition]) / volume for condition in Condition]


@pytest.mark.parametrize("index", range(4), ids=NAMES)
@pytest.mark.parametrize("d", [1, 2])
def test_densities_integrate_to_one(d, index):
    """By Poisson summation, sums with steps of SIGMA / 2 err by some 2 exp(-2 pi^2 / 0.25) = 1e-34 for each axis.

    Every density has standard deviations of at least SIGMA.
    The rounding of 1e5 terms, whose sum is about one, is below 1e-10.
    """
    signals = draws(d)
    axis = np.arange(float(signals.min()) - 20, float(signals.max()) + 20, SIGMA / 2)
    points = torch.from_numpy(np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d))
    for density in densities(list(decoders(signals, CLASSES, SIGMA))[index], points, [0, 2]):
        assert density.sum(1) * (SIGMA / 2) ** d == pytest.approx(1, abs=1e-9)


def scipy_densities(name, signals):
    """Return the density q(t|x) of each input, by scipy."""
    r, d = signals.shape[1:]
    noise = SIGMA**2 * np.eye(d)
    covariances = [np.atleast_2d(np.cov(centers.T)) for centers in signals]
    shared = np.mean(covariances, axis=0)
    if name == "shrunk Gaussian":
        return shrunk_gaussians(signals, noise, shared)
    if name == "wide mixture":
        return [partial(mixture_density, centers, noise + 0.09 * shared) for centers in signals]
    if name == "shared Gaussian":
        covariances = [shared] * len(signals)
    return [
        stats.multivariate_normal(centers.mean(0), noise + (1 + 1 / r) * covariance).pdf
        for centers, covariance in zip(signals, covariances, strict=True)
    ]


def shrunk_gaussians(signals, noise, within):
    """Return the predictive densities of Gaussian means with the covariance B, by textbook formulas for B > 0.

    Where B + W/r has more eigenvalues below 1 relative to W/r than above, B is truncated along these eigenvectors.
    """
    r = signals.shape[1]
    means = signals.mean(1)
    center, error = means.mean(0), within / r + 1e-12 * (noise + within)
    eigenvalues, axes = linalg.eigh(np.atleast_2d(np.cov(means.T)), error)
    kept = np.clip(eigenvalues - 1, 0, None) / np.clip(eigenvalues, 1, None)
    gain = error @ axes @ np.diag(kept) @ axes.T
    covariance = noise + within + gain @ error
    return [stats.multivariate_normal(center + gain @ (mean - center), covariance).pdf for mean in means]


def mixture_density(centers, covariance, points):
    return np.mean([stats.multivariate_normal(center, covariance).pdf(points) for center in centers], axis=0)


@pytest.mark.parametrize(("index", "name"), list(enumerate(NAMES)))
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
@pytest.mark.parametrize("d", [1, 3, 10])
def test_densities_are_those_of_scipy(d, index, name, dtype, tolerance):
    """Densities below 1e-30 are not compared, so exponents are below 70; whitened points are rounded to their dtype."""
    signals = draws(d, r=2 * d + 3, dtype=dtype)
    points = draws(d, r=6, dtype=dtype).flatten(0, 1)
    decoder = list(decoders(signals, CLASSES, SIGMA))[index]
    assert decoder.name == name
    own_input, in_class, pooled = densities(decoder, points, range(4))
    truth = np.array([density(points.numpy()) for density in scipy_densities(name, signals.numpy())])
    np.testing.assert_allclose(own_input, truth, rtol=tolerance, atol=1e-30)
    np.testing.assert_allclose(pooled, np.tile(truth.mean(0), (4, 1)), rtol=tolerance)
    class_truth = np.array([truth[NUMBERS[x] == NUMBERS].mean(0) for x in range(4)])
    np.testing.assert_allclose(in_class, class_truth, rtol=tolerance, atol=1e-30)


def test_without_labels_the_class_holds_all_inputs():
    for decoder in decoders(draws(2), NO_LABELS, SIGMA):
        _, in_class, pooled = densities(decoder, draws(2)[0], range(4))
        np.testing.assert_array_equal(in_class, pooled)


def test_density_at_a_query_does_not_depend_on_the_other_queries():
    points = draws(2)[0]
    for decoder in decoders(draws(2), CLASSES, SIGMA):
        all_inputs, two_inputs = densities(decoder, points, range(4)), densities(decoder, points, [3, 1])
        for expected, density in zip(all_inputs, two_inputs, strict=True):
            np.testing.assert_allclose(density, expected[[3, 1]], rtol=1e-12)


@pytest.mark.parametrize(("d", "r", "names"), [(2, 1, []), (32, 2, NAMES), (33, 3, NAMES[1:])])
def test_decoders_need_two_draws_and_the_gaussian_at_most_32_dimensions(d, r, names):
    assert [decoder.name for decoder in decoders(draws(d, r), NO_LABELS, SIGMA)] == names


@pytest.mark.parametrize("spread", [0.0, 1e-12])
def test_decoders_of_draws_that_hardly_differ_have_the_covariance_of_the_noise(spread):
    """For draws equal to within 1e-12, every q(t|x) is N(mean of the draws, SIGMA^2 I) up to rounding."""
    signals = draws(2)
    signals = signals[:, :1] + spread * signals
    points = signals[0]
    truth = np.array([stats.multivariate_normal(centers.mean(0), SIGMA**2).pdf(points) for centers in signals.numpy()])
    for decoder in decoders(signals, NO_LABELS, SIGMA):
        np.testing.assert_allclose(densities(decoder, points, range(4))[0], truth, rtol=1e-9, atol=1e-30)
