"""Gaussian decoders with a covariance of low rank for each input, in many dimensions."""

import numpy as np
import pytest
import torch
from scipy import stats

from layerbits.estimators.classes import Classes
from layerbits.estimators.decoders import decoders
from layerbits.estimators.draw_moments import DrawMoments
from layerbits.estimators.log_densities import Queries, terms
from layerbits.estimators.low_rank_gaussians import LowRankGaussians
from layerbits.statistics import QUANTITIES, Condition
from tests.support.random_arrays import normal_tensor

SIGMA, DIM, INPUTS = 0.5, 24, 40
NUMBERS = np.arange(INPUTS) % 3
CLASSES = Classes(NUMBERS, labelled=True)


def signals(draws, *, spread, seed=0):
    """Return draws (40, draws, 24) that vary along a direction of each input by `spread`, and along all axes by 0.2."""
    means = 0.6 * normal_tensor(INPUTS, 1, DIM)
    directions = torch.nn.functional.normalize(normal_tensor(INPUTS, 1, DIM, seed=1), dim=2)
    along = spread * normal_tensor(INPUTS, draws, 1, seed=10 + seed) * directions
    return means + along + 0.2 * normal_tensor(INPUTS, draws, DIM, seed=20 + seed)


def queries(count, *, spread):
    bases = signals(count, spread=spread, seed=5)
    return Queries.around(bases, SIGMA, normal_tensor(*bases.shape, seed=2))


def low_rank(draws, *, spread):
    return LowRankGaussians.of(DrawMoments.of(signals(draws, spread=spread), SIGMA), CLASSES)


def test_densities_are_gaussian_densities_by_scipy():
    """With exponents below 500, 24 terms in float64 have a rounding error below 1e-12 of a log density."""
    decoder, points = low_rank(30, spread=2.0), queries(4, spread=2.0)
    covariances = [decoder.covariance(x).numpy() for x in range(INPUTS)]
    means = decoder.means.numpy()
    flat = points.points.flatten(0, 1).numpy()
    expected = np.stack(
        [stats.multivariate_normal(means[x], covariances[x]).logpdf(flat) for x in range(INPUTS)], axis=1
    ).reshape(INPUTS, 4, INPUTS)
    log_densities = decoder.log_densities(points)
    noise = points.noise_log_density - DIM / 2 * np.log(2 * np.pi * SIGMA**2)
    own = expected[np.arange(INPUTS), :, np.arange(INPUTS)]
    np.testing.assert_allclose(log_densities.given_input + noise, own, atol=1e-9)
    np.testing.assert_allclose(
        log_densities.marginal + noise, np.logaddexp.reduce(expected, 2) - np.log(INPUTS), atol=1e-9
    )
    in_class = np.where(NUMBERS[:, None] == NUMBERS, 0.0, -np.inf)[:, None]
    sizes = np.bincount(NUMBERS)[NUMBERS][:, None]
    given_class = np.logaddexp.reduce(expected + in_class, 2) - np.log(sizes)
    np.testing.assert_allclose(log_densities[Condition.CLASS] + noise, given_class, atol=1e-9)


def test_covariances_follow_the_direction_of_each_input():
    """The true variance of a noisy value is 4.29 along the direction of an input and 0.29 across."""
    decoder = low_rank(100, spread=2.0)
    directions = torch.nn.functional.normalize(normal_tensor(INPUTS, 1, DIM, seed=1), dim=2)[:, 0]
    along = [float(directions[x] @ decoder.covariance(x) @ directions[x]) for x in range(INPUTS)]
    others = [float(directions[x - 1] @ decoder.covariance(x) @ directions[x - 1]) for x in range(INPUTS)]
    assert np.mean(along) > 4 * np.mean(others)


def test_term_of_the_information_is_larger_than_with_a_shared_covariance():
    draws, points = signals(30, spread=2.0), queries(50, spread=2.0)
    means = {
        decoder.name: terms(QUANTITIES[0], decoder.log_densities(points)).mean()
        for decoder in decoders(draws, CLASSES, SIGMA)
    }
    assert means["low-rank Gaussian"] > means["shrunk Gaussian"] + 0.3


def test_there_is_no_decoder_where_the_covariances_of_the_inputs_are_equal():
    assert low_rank(30, spread=0.0) is None


@pytest.mark.parametrize("draws", [2, 3, 7])
def test_there_is_no_decoder_of_few_draws(draws):
    assert low_rank(draws, spread=2.0) is None


def test_there_is_no_decoder_where_products_of_coordinates_would_be_inexact():
    draws = signals(30, spread=2.0)
    draws[0] += 1e8
    assert LowRankGaussians.of(DrawMoments.of(draws, SIGMA), CLASSES) is None


def test_blocks_of_queries_do_not_change_densities(monkeypatch):
    decoder, points = low_rank(30, spread=2.0), queries(4, spread=2.0)
    expected = decoder.log_densities(points)
    monkeypatch.setattr("layerbits.estimators.low_rank_gaussians._BLOCK_VALUES", 7 * 8 * INPUTS)
    in_blocks = decoder.log_densities(points)
    for condition in Condition:
        np.testing.assert_allclose(in_blocks[condition], expected[condition], rtol=1e-12, atol=1e-11)
