"""The wide density of noise that grows with the signal: its integral, and the bound of the ratio."""

import math

import numpy as np
import pytest
import torch

from layerbits.estimators.log_densities import Queries
from layerbits.estimators.wide_density import WideDensity
from tests.support.random_arrays import normal_tensor

SIGMA = 0.3
# A diameter for each unit; all signals of this test lie in [-1, 1].
KINDS = pytest.mark.parametrize("width", [2.0, math.inf], ids=["bounded", "tail assumed"])
ALPHAS = pytest.mark.parametrize("alpha", [0.8, 6.0])


def wide_density(draws, width, alpha):
    return WideDensity.of(draws, (draws, draws), SIGMA, width * math.sqrt(draws.shape[2]), alpha)


@KINDS
@ALPHAS
def test_density_integrates_to_one(alpha, width):
    """A Cauchy density leaves out a mass of 2 / pi scale / distance beyond a distance."""
    draws = torch.tanh(normal_tensor(40, 5, 1))
    wide = wide_density(draws, width, alpha)
    axis = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)[:, None]
    # At a query that is a signal of 0, log r(t) = -1/2 log(2 pi sigma^2).
    queries = Queries(axis[:, None], axis[:, None], SIGMA, np.zeros((len(axis), 1)), np.zeros(1, int), (), alpha)
    densities = np.exp(wide.log_density(queries)[:, 0] - math.log(2 * math.pi * SIGMA**2) / 2)
    left_out = 2 / math.pi * math.sqrt(wide.variance) / 2000 if wide.tail_assumed else 0
    assert densities.sum() * 1e-3 == pytest.approx(1 - left_out, abs=1e-6)


@KINDS
@ALPHAS
@pytest.mark.parametrize("dim", [1, 3, 20])
def test_ratio_to_the_noise_of_any_signal_is_bounded(dim, alpha, width):
    """Signals in the whole range, small ones and those at its ends, and points on both sides of each."""
    wide = wide_density(torch.tanh(normal_tensor(40, 5, dim)), width, alpha)
    assert wide.tail_assumed == math.isinf(width)
    corners = torch.sign(normal_tensor(50, dim, seed=1))
    signals = torch.cat([scale * corners for scale in (0.0, 1e-3, 0.1, 0.5, 0.9, 1.0)])
    directions = torch.cat([torch.sign(signals - wide.center), torch.sign(normal_tensor(*signals.shape, seed=2))])
    signals = signals.repeat(2, 1)
    scales = (SIGMA**2 + (alpha * signals) ** 2).sqrt()
    points = [signals + step * scales * directions for step in np.linspace(-8, 8, 65)]
    ratios = [-wide.log_density(Queries.at(t[:, None], signals[:, None], SIGMA, alpha=alpha)).min() for t in points]
    assert max(ratios) <= wide.largest_log_ratio
    # The bound adds a distance of a diameter and a variance of at least sigma^2, which no signal has together.
    assert wide.tail_assumed or max(ratios) >= wide.largest_log_ratio - 2 * dim
