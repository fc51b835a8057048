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
    """A gate that opens in one pass of 5000 and then shows tanh(3 t) of the other units of the first layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Tanh()

    def forward(self, x):
        t = self.first(x)
        return self.second(3 * t[:, 1:] * (t[:, :1] > stats.norm.isf(PROBABILITY)))


@pytest.mark.parametrize("seed", range(2))
def test_upper_end_covers_rare_signals_in_many_dimensions_of_their_own(seed):
    """The 300 units tell whether the gate is open, so I is the entropy of the gate and PROBABILITY times 300 units.

    The expected number of 4096 queries with an open gate is 0.8; all other signals are 0.
    """
    z = np.linspace(-8, 8, 4001)
    axis = grid(-1, 1, SIGMA)
    density = normal(z, 1) / normal(z, 1).sum() @ normal(axis - np.tanh(3 * z)[:, None], SIGMA)
    of_unit = entropy(density, axis) - np.log(2 * np.pi * np.e * SIGMA**2) / 2
    truth = float(stats.entropy([PROBABILITY, 1 - PROBABILITY])) + PROBABILITY * UNITS * of_unit
    inputs = torch.zeros(1, UNITS + 1)
    noisy = noisify(Gate(), sigma={"first": 1.0, "second": SIGMA}, layers=["first", "second"], inputs=inputs)
    estimate = information_between_layers(noisy, inputs, "first", "second", seed=seed)
    assert estimate.flags == ()
    assert truth < estimate.upper < UNITS / 2 * math.log1p(1 / SIGMA**2)
