"""The upper end of I(T_k;T_l) where rare passes have signals in dimensions that no other pass has."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from layerbits import information_between_layers, noisify
from tests.support.answers import entropy, grid, normal

UNITS, SIGMA, PROBABILITY = 300, 0.1, 1 / 5000

pytestmark = pytest.mark.usefixtures("one_thread")


class Gate(nn.Module):
    """A gate that opens in one pass of 5000 and then shows 3 t of the other units of the first layer."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.second = nn.Identity(), activation

    def forward(self, x):
        t = self.first(x)
        return self.second(3 * t[:, 1:] * (t[:, :1] > stats.norm.isf(PROBABILITY)))


def information(activation, largest):
    """Compute I by quadrature: the units tell whether the gate is open, and then each adds that of its own noise."""
    z = np.linspace(-8, 8, 4001)
    axis = grid(-1, largest, SIGMA)
    signals = activation(torch.from_numpy(3 * z)).numpy()[:, None]
    density = sum(
        weights @ normal(axis - part, SIGMA)
        for weights, part in zip(
            np.array_split(normal(z, 1) / normal(z, 1).sum(), 40), np.array_split(signals, 40), strict=True
        )
    )
    of_unit = entropy(density, axis) - np.log(2 * np.pi * np.e * SIGMA**2) / 2
    return float(stats.entropy([PROBABILITY, 1 - PROBABILITY])) + PROBABILITY * UNITS * of_unit


@pytest.mark.parametrize(
    ("activation", "largest", "flags"),
    [(nn.Tanh(), 1, ()), (nn.ReLU(), 24, ("tail_assumed",))],
    ids=["bounded", "unbounded"],
)
def test_upper_end_covers_rare_signals_in_many_dimensions_of_their_own(activation, largest, flags):
    """The expected number of 4096 queries with an open gate is 0.8; all other signals are 0.

    Without a bound of the activation function, the signals are assumed to be at most 10 times as long as the noise.
    """
    truth, inputs = information(activation, largest), torch.zeros(1, UNITS + 1)
    noise = {"first": 1.0, "second": SIGMA}
    noisy = noisify(Gate(activation), sigma=noise, layers=["first", "second"], inputs=inputs)
    for seed in range(4):
        estimate = information_between_layers(noisy, inputs, "first", "second", seed=seed)
        assert estimate.flags == flags
        assert truth < estimate.upper < UNITS / 2 * math.log1p(largest**2 / SIGMA**2)
