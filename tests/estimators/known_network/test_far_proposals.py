"""Samples of a proposal may lie where no pass of the network does: their signals are huge, infinite or NaN."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import nn

from layerbits import layer_information, noisify
from layerbits.estimators.known_network.annealing import Bridges, Chains, Targets
from layerbits.estimators.known_network.linear_models import LinearModels
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.weights import WeightSampler
from layerbits.estimators.known_network.whitened_posteriors import whitened_posteriors
from layerbits.kernels import stream
from tests.support.answers import grid, information_of_channel, normal
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.networks import dense
from tests.support.random_arrays import normal_array
from tests.support.signal_models import DenseSignals

pytestmark = pytest.mark.usefixtures("one_thread")

GAIN, LIMIT, POINT = 1.5, 0.8, 1.0
COUNT = 4000


@dataclasses.dataclass
class Undefined(DenseSignals):
    """S = 1.5 W, which is `value` where a noise that no pass of the network draws exceeds 0.8."""

    value: float = math.nan

    def signals(self, rows, noises, *, are_typical=True):
        signals = super().signals(rows, noises)
        return signals if are_typical else torch.where(noises > LIMIT, self.value, signals)


def undefined(value):
    weights = [torch.full((1, 1), gain, dtype=torch.float64) for gain in (1.0, GAIN)]
    model = Undefined(torch.zeros(1, 1).double(), weights, [torch.zeros(1).double()] * 2, "identity", 1.0, value=value)
    points = torch.full((1, 1), POINT, dtype=torch.float64)
    return model, KnownQueries(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 1).double(), points, torch.ones(1))


# W given T = 1 is N(1.5 / (1 + 1.5^2), 1 / (1 + 1.5^2)), and T is N(0, 1 + 1.5^2).
VARIANCE = 1 + GAIN**2
DENSITY = math.exp(-(POINT**2) / 2 / VARIANCE) / math.sqrt(VARIANCE)
SHARE = ndtr((LIMIT - GAIN * POINT / VARIANCE) * math.sqrt(VARIANCE))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weight_of_an_undefined_signal_is_zero(value):
    model, queries = undefined(value)
    models = LinearModels.fit(model, torch.zeros(1, dtype=torch.int64), 0, 2)
    sampler = WeightSampler(Proposals(model, 0, 2**28), seed=1)
    weights = sampler.log_weights(models, queries, torch.full((1, 1), COUNT)).exp()
    is_positive = weights > 0
    assert not weights.isnan().any()
    assert abs(float(is_positive.double().mean()) - SHARE) < 5 * math.sqrt(SHARE * (1 - SHARE) / COUNT)
    torch.testing.assert_close(weights[is_positive], torch.full_like(weights[is_positive], DENSITY), rtol=1e-8, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_mean_weight_of_chains_is_the_density_of_the_defined_signals(value):
    model, _ = undefined(value)
    rows = torch.zeros(1, dtype=torch.int64)
    posteriors = whitened_posteriors(LinearModels.fit(model, rows, 0, 2))
    points = torch.full((1, COUNT, 1), POINT, dtype=torch.float64)
    targets = Targets(model, posteriors, rows, points, torch.ones(1, COUNT, dtype=torch.bool))
    weights = Chains(targets, Bridges(5), [stream(1, 900, 0)]).forward_log_weights().exp()
    assert abs(float(weights.mean()) - DENSITY * SHARE) < 5 * float(weights.std()) / math.sqrt(COUNT)


class Exponential(nn.Module):
    def forward(self, x):
        return torch.exp(x)


def test_proposals_beyond_the_range_of_the_network_leave_valid_intervals():
    """T = exp(0.91 X + 0.65 W) + 0.05 Z is at most 70 in all passes, but proposals reach e^20 and more.

    With correct intervals of risk 5 %, more misses than allowed have a probability below 1e-4.
    """
    inputs, sigma = normal_array(12, 1), 0.05
    model = nn.Sequential(dense(np.full((1, 1), 0.91)), nn.Identity(), Exponential()).float()
    noisy = noisify(model, sigma={"1": 0.65, "2": sigma}, inputs=torch.zeros(2, 1))
    # The noise is cut at 6 deviations, of a probability of 2e-9.
    noises = np.linspace(-6, 6, 201)
    shares = np.exp(-(noises**2) / 2)
    signals = np.exp(0.91 * inputs + 0.65 * noises)
    axis = grid(0, signals.max(), sigma)
    densities = np.stack([shares / shares.sum() @ normal(axis - of_input[:, None], sigma) for of_input in signals])
    truth = information_of_channel(densities, axis)

    def misses_of(seeds):
        for seed in seeds:
            table = layer_information(noisy, torch.from_numpy(inputs).float(), layers="2", estimator="known", seed=seed)
            row = table["2", "I(X;T)"]
            yield from ["I(X;T)"] * (not row.lower <= truth <= row.upper)

    assert excess_misses(misses_of, allowed_misses(12, 0.05, 1e-4)) == {}
