"""Densities of layers with DropoutNoise: sums over Gaussians with diagonal covariances, and decoders, against scipy."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from layerbits.estimators import diagonal_gaussians
from layerbits.estimators.classes import Classes
from layerbits.estimators.diagonal_gaussians import DiagonalGaussians
from layerbits.estimators.dropout_decoders import decoders_of
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.plug_in_bound import plug_in
from layerbits.statistics import Condition
from tests.support.random_arrays import normal_tensor

SIGMA, ALPHA = 0.5, 0.7
NUMBERS = np.array([0, 0, 1, 0])
CLASSES = Classes(NUMBERS, labelled=True)
NAMES = ["Gaussian", "diagonal Gaussian", "wide mixture"]


def draws(d, r=5):
    return normal_tensor(4, 1, d, seed=1) + 0.6 * normal_tensor(4, r, d)


def queries_of(d, q=3):
    return Queries.around(draws(d, q), SIGMA, normal_tensor(4, q, d, seed=2), alpha=ALPHA)


def deviations(signals):
    return np.sqrt(SIGMA**2 + (ALPHA * signals) ** 2)


def log_densities(points, signals):
    """Return log p(t|s) by scipy for all points (m, d) and signals (n, d), without -d/2 log(2 pi sigma^2)."""
    values = stats.norm.logpdf(points[:, None], signals, deviations(signals)).sum(-1)
    return values + points.shape[1] / 2 * math.log(2 * math.pi * SIGMA**2)


@pytest.mark.parametrize("values", [1, 2**22], ids=["a row at a time", "one block"])
@pytest.mark.parametrize("d", [1, 3, 40])
def test_log_sums_are_those_of_scipy(d, values, monkeypatch):
    monkeypatch.setattr(diagonal_gaussians, "_BLOCK_VALUES", values)
    signals, points = draws(d), queries_of(d).points
    components = DiagonalGaussians.around(signals, SIGMA, ALPHA)
    every = log_densities(points.flatten(0, 1).numpy(), signals.flatten(0, 1).numpy())
    np.testing.assert_allclose(components.log_sums(points.flatten(0, 1)), logsumexp(every, axis=1), rtol=1e-12)
    own = np.stack([log_densities(points[i].numpy(), signals[i].numpy()) for i in range(4)])
    expected = [logsumexp(own[..., :2], axis=-1), logsumexp(own[..., 2:], axis=-1)]
    np.testing.assert_allclose(components.own_log_sums(points, parts=2), expected, rtol=1e-12)


def test_queries_have_the_deviation_of_each_unit_and_the_log_density_of_their_noise():
    bases, normal = draws(3), normal_tensor(4, 5, 3, seed=2)
    queries = Queries.around(bases, SIGMA, normal, alpha=ALPHA)
    np.testing.assert_allclose(queries.points, bases.numpy() + deviations(bases.numpy()) * normal.numpy(), rtol=1e-14)
    expected = stats.norm.logpdf(queries.points.numpy(), bases.numpy(), deviations(bases.numpy())).sum(-1)
    np.testing.assert_allclose(queries.noise_log_density, expected + 1.5 * math.log(2 * math.pi * SIGMA**2), rtol=1e-12)


def test_a_tiny_alpha_gives_the_plug_in_of_gaussian_noise():
    """alpha^2 s^2 changes a variance by less than 1e-16 of it; the sums of both kinds round at 1e-15."""
    bases, normal = draws(3, 4), normal_tensor(4, 4, 3, seed=2)
    dropout, gaussian = (
        plug_in(Queries.around(bases, SIGMA, normal, alpha=alpha), draws(3, 8), CLASSES) for alpha in (1e-9, 0.0)
    )
    for condition in Condition:
        pair = dropout.entropies[condition], gaussian.entropies[condition]
        assert pair[0].value == pytest.approx(pair[1].value, abs=1e-13)
        assert pair[0].standard_error == pytest.approx(pair[1].standard_error, abs=1e-13)
        assert dropout.own_shares[condition] == pytest.approx(gaussian.own_shares[condition], abs=1e-13)
        np.testing.assert_allclose(dropout.mixture[condition], gaussian.mixture[condition], atol=1e-12)


def scipy_decoder(name, signals, points):
    """Return log q(t|x) (inputs, m) of a decoder at points (m, d), by scipy."""
    r, d = signals.shape[1:]
    means, spreads = signals.mean(1), signals.var(1, ddof=1)
    if name == "wide mixture":
        scales = np.sqrt(deviations(signals) ** 2 + 0.09 * spreads.mean(0))
        terms = stats.norm.logpdf(points[:, None, None], signals, scales).sum(-1)
        return logsumexp(terms, axis=2).T - math.log(r)
    noise = (deviations(signals) ** 2).mean(1)
    if name == "diagonal Gaussian":
        scales = np.sqrt(noise + (1 + 1 / r) * spreads)
        return stats.norm.logpdf(points, means[:, None], scales[:, None]).sum(-1)
    covariances = [np.diag(noise[i]) + (1 + 1 / r) * np.cov(signals[i].T).reshape(d, d) for i in range(len(signals))]
    return np.array(
        [stats.multivariate_normal.logpdf(points, *law) for law in zip(means, covariances, strict=True)]
    ).reshape(len(signals), -1)


@pytest.mark.parametrize("index", range(3), ids=NAMES)
@pytest.mark.parametrize("d", [1, 3])
def test_decoders_have_the_densities_of_scipy(d, index):
    signals, queries = draws(d), queries_of(d)
    decoder = list(decoders_of(signals, CLASSES, queries))[index]
    assert decoder.name == NAMES[index]
    by_input = scipy_decoder(decoder.name, signals.numpy(), queries.points.flatten(0, 1).numpy()).reshape(4, 4, 3)
    noise = queries.noise_log_density - d / 2 * math.log(2 * math.pi * SIGMA**2)
    own = by_input[np.arange(4), np.arange(4)]
    same_class = np.where((NUMBERS[:, None] == NUMBERS)[..., None], by_input.swapaxes(0, 1), -np.inf)
    counts = (NUMBERS[:, None] == NUMBERS).sum(1)[:, None]
    expected = own, logsumexp(same_class, axis=1) - np.log(counts), logsumexp(by_input, axis=0) - math.log(4)
    for values, exact in zip(
        [decoder.log_densities(queries)[condition] for condition in Condition], expected, strict=True
    ):
        np.testing.assert_allclose(values, exact - noise, atol=1e-10)


def test_wide_layers_have_no_full_covariances_and_a_single_draw_has_no_decoder():
    queries = queries_of(33)
    assert [decoder.name for decoder in decoders_of(draws(33), CLASSES, queries)] == NAMES[1:]
    assert list(decoders_of(draws(33, 1), CLASSES, queries)) == []
