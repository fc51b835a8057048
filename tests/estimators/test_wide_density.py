"""The wide density that bounds surprisals: its integral, the bound of the ratio, and entropies with outliers."""

import math

import numpy as np
import pytest
import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_behind_noise import noisy_layer_estimates
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.noisy_sample import NoisySample
from layerbits.estimators.wide_density import SignalRegion, WideDensity
from tests.support.random_arrays import normal_tensor

SIGMA = 0.3
KINDS = pytest.mark.parametrize("diameter", [2.0, math.inf], ids=["bounded", "tail assumed"])


def log_density(wide, points, bases=None):
    """Return log w(t) - log N(t; base, sigma^2 I) at points (m, d); without bases, log w(t)."""
    zero = bases is None
    queries = Queries.at(points[:, None], points[:, None] if zero else bases[:, None], SIGMA)
    normalization = points.shape[1] / 2 * math.log(2 * math.pi * SIGMA**2)
    return wide.log_density(queries)[:, 0] - normalization * zero


def signals(dim):
    """Return draws in a ball of diameter 2."""
    draws = normal_tensor(40, 5, dim)
    return draws / torch.linalg.vector_norm(draws, dim=-1, keepdim=True).clamp(min=1)


@KINDS
def test_density_integrates_to_one(diameter):
    """A Cauchy density leaves out a mass of 2 / pi scale / distance beyond a distance."""
    draws = signals(1)
    wide = WideDensity.of(draws, (draws, draws), SIGMA, diameter)
    axis = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)[:, None]
    left_out = 2 / math.pi * math.sqrt(wide.variance) / 2000 if wide.tail_assumed else 0
    mass = np.exp(log_density(wide, axis)).sum() * 1e-3
    assert mass == pytest.approx(1 - left_out, abs=1e-6)


@KINDS
@pytest.mark.parametrize("dim", [1, 3, 20])
def test_ratio_to_the_noise_of_any_signal_is_bounded(dim, diameter):
    """The farthest points from the center along a line through a signal, near the maximum of the ratio."""
    draws = signals(dim)
    wide = WideDensity.of(draws, (draws, draws), SIGMA, diameter)
    assert wide.tail_assumed == math.isinf(diameter)
    centers = draws.flatten(0, 1)
    ratios = [
        -log_density(wide, centers + step * SIGMA * torch.nn.functional.normalize(centers - wide.center), centers)
        for step in np.linspace(-4, 8, 49)
    ]
    assert max(ratio.max() for ratio in ratios) <= wide.largest_log_ratio


@pytest.mark.parametrize("dim", [1, 8])
def test_bound_of_the_ratio_is_attained_at_the_largest_distance(dim):
    """For the Gaussian the largest ratio is at z = a / delta, for a signal a diameter away from the center."""
    draws = torch.zeros(2, 1, dim, dtype=torch.float64)
    wide = WideDensity.of(draws, (draws, draws), SIGMA, 2.0)
    signal = torch.full((1, dim), 2 / math.sqrt(dim), dtype=torch.float64)
    delta = (2 / SIGMA) ** 2 / dim
    assert -log_density(wide, signal + signal / delta, signal)[0] == pytest.approx(wide.largest_log_ratio)


@pytest.mark.parametrize("distance", [1e2, 1e4, 1e6])
def test_outlier_that_no_draw_met_widens_an_entropy_by_a_logarithm(distance):
    """Of 60 inputs one has, in its last query alone, a signal far out; the entropy rises by less than log(61)/60 nats.

    The upper end rises by the surprisal of the outlier over the number of final queries, and by a larger ceiling.
    """
    draws = 0.5 * normal_tensor(60, 40, 1)
    plain, outlier = draws.clone(), draws.clone()
    outlier[7, -1] = distance
    normal = normal_tensor(60, 8, 1, seed=1)
    upper_ends = [
        noisy_layer_estimates(
            [NoisySample(Queries.around(sample[:, 32:].contiguous(), SIGMA, normal), sample[:, :32].contiguous())],
            Classes.of(None, 60),
            0.025,
            np.random.default_rng(0),
        )["h(T)"].interval.upper
        for sample in (plain, outlier)
    ]
    # Surprisal, ceiling and its logarithms grow by 2 log(distance) each, over 240 final queries, times log(1 / risk).
    assert upper_ends[1] - upper_ends[0] <= (2 * math.log(distance) + 10) * 2 * -math.log(0.025) / 240


@pytest.mark.parametrize(
    ("distance", "expected"),
    [(0.0, 10 * (2 + SIGMA)), (22.9, 10 * (2 + SIGMA)), (40.0, 10 * (40 + SIGMA))],
    ids=["the pilot decides", "the assumption holds", "the assumption is false"],
)
def test_queries_that_evaluate_a_density_decide_on_the_range_only_where_they_exceed_it(distance, expected):
    draws, pilot, final = (torch.zeros(5, 3, 1, dtype=torch.float64) for _ in range(3))
    pilot[0, 0], final[1, 1] = 2.0, distance
    assert SignalRegion.of(draws, (pilot, final), SIGMA, math.inf).radius == pytest.approx(expected)
