"""Ends of intervals where the true value hangs on events that few queries meet, over many seeds.

T_1 = x + Z_1 and T_2 = f(T_1) + Z_2 on the line, with all densities by quadrature. Each end may be wrong with
probability RISK; more than MAX_WRONG correct ends of SEEDS are wrong with probability 1e-6.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from layerbits import information_between_layers, noisify
from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_behind_noise import noisy_layer_estimates
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.noisy_sample import NoisySample
from tests.support.answers import entropy, grid, normal

RISK = 0.025

pytestmark = [pytest.mark.stress, pytest.mark.usefixtures("one_thread")]


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@dataclasses.dataclass(frozen=True)
class Case:
    values: tuple[float, ...]
    function: Callable[[torch.Tensor], torch.Tensor]
    sigmas: tuple[float, float]
    diameter: float = math.inf

    def signals(self, shape, seed):
        """Return signals of T_2, of shape (inputs, *shape, 1)."""
        normals = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(self.values), *shape)))
        values = torch.tensor(self.values, dtype=torch.float64)[:, None]
        return self.function(values + self.sigmas[0] * normals)[..., None]

    def truths(self):
        """Return h(T_2) and h(T_2|X) less the entropy of the noise, by quadrature over the first noise."""
        z = np.linspace(-8, 8, 4001)
        weights = normal(z, 1) / normal(z, 1).sum()
        values = np.array(self.values)[:, None]
        signals = self.function(torch.from_numpy(values + self.sigmas[0] * z)).numpy()
        axis = grid(signals.min(), signals.max(), self.sigmas[1])
        densities = np.array([weights @ normal(axis - row[:, None], self.sigmas[1]) for row in signals])
        noise = np.log(2 * np.pi * np.e * self.sigmas[1] ** 2) / 2
        conditional = np.mean([entropy(density, axis) for density in densities])
        return {"h(T)": entropy(densities.mean(0), axis) - noise, "h(T|X)": conditional - noise}


CASES = {
    "clusters 7 sigma apart": Case((-1.2, -0.8, 0.8, 1.2), lambda t: torch.tanh(50 * t), (0.05, 0.3), diameter=2.0),
    "unit that is rarely active": Case((-1.0, -0.5, 0.0, 0.5, 1.0), lambda t: 8 * torch.relu(t - 1.9), (0.3, 0.2)),
    "outlying input": Case((*np.linspace(-1, 1, 15), 60.0), lambda t: t, (0.3, 0.3)),
    "two inputs": Case((-1.0, 1.0), lambda t: torch.tanh(2 * t), (0.3, 0.25), diameter=2.0),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("queries", "draws"), [(8, 24), (40, 120)])
def test_ends_of_entropies_are_wrong_no_more_often_than_they_may(name, queries, draws):
    case, seeds = CASES[name], 1000
    max_wrong = stats.binom.isf(1e-6, seeds, RISK)
    classes = Classes.of(None, len(case.values))
    intervals = {"h(T)": [], "h(T|X)": []}
    for seed in range(seeds):
        signals = case.signals((queries + draws,), seed)
        bases, others = signals[:, draws:].contiguous(), signals[:, :draws].contiguous()
        noise = torch.from_numpy(np.random.default_rng(seed + seeds).normal(size=tuple(bases.shape)))
        sample = NoisySample(Queries.around(bases, case.sigmas[1], noise), others, diameter=case.diameter)
        estimates = noisy_layer_estimates([sample], classes, RISK, np.random.default_rng(seed))
        for quantity, found in intervals.items():
            found.append(estimates[quantity].interval)
    for quantity, truth in case.truths().items():
        assert sum(interval.lower > truth + 1e-9 for interval in intervals[quantity]) <= max_wrong, quantity
        assert sum(interval.upper < truth - 1e-9 for interval in intervals[quantity]) <= max_wrong, quantity


@pytest.mark.parametrize("name", CASES)
def test_ends_between_layers_are_wrong_no_more_often_than_they_may(name):
    """Between neighbours I(T_1;T_2) is h(T_2) less the entropy of the noise."""
    case, seeds = CASES[name], 200
    max_wrong = stats.binom.isf(1e-6, seeds, RISK)
    network = nn.Sequential(nn.Identity(), Function(case.function))
    noisy = noisify(network, sigma=dict(zip("01", case.sigmas, strict=True)), layers=["0", "1"])
    inputs = torch.tensor(case.values, dtype=torch.float64)[:, None]
    found = [information_between_layers(noisy, inputs, "0", "1", seed=seed) for seed in range(seeds)]
    truth = case.truths()["h(T)"]
    assert sum(estimate.lower > truth + 1e-9 for estimate in found) <= max_wrong
    assert sum(estimate.upper < truth - 1e-9 for estimate in found) <= max_wrong
