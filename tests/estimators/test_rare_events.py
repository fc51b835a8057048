"""Layers that hardly ever leave one value, decoders of singular covariances, and skip connections of few inputs."""

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import nn

from layerbits import information_between_layers, layer_information, noisify


class Step(nn.Module):
    def forward(self, x):
        return torch.sign(x)


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()

    def forward(self, x):
        return self.second(self.first(x) / 10 + x)


class Copies(nn.Module):
    def forward(self, x):
        return 1e9 * x @ torch.ones(1, 3, dtype=x.dtype)


def test_signs_that_are_equal_in_two_passes_are_not_taken_to_be_exact():
    flip, sigma = float(ndtr(-2)), 0.2
    noisy = noisify(nn.Sequential(nn.Identity(), Step()), sigma={"0": 0.5, "1": sigma}, layers=[nn.Identity, Step])
    truth = math.log(2) + flip * math.log(flip) + (1 - flip) * math.log(1 - flip)
    inputs = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    rows = [layer_information(noisy, inputs, layers="1", draws=512, seed=seed)["1", "I(X;T)"] for seed in range(20)]
    # Signs five sigmas from the border are hardly confused.
    assert sum(row.lower < truth < row.upper for row in rows) >= 18


def test_upper_end_knows_of_what_no_query_has_met():
    noisy = noisify(nn.Sequential(nn.Identity(), Step()), sigma=0.25, layers=[nn.Identity, Step])
    inputs = torch.from_numpy(np.linspace(0.6, 0.9, 16)[:, None])  # a sign is -1 once in some hundred passes
    rows = [layer_information(noisy, inputs, layers="1", draws=32, queries=4, seed=seed) for seed in range(5)]
    assert all(row["1", "I(X;T)"].upper > 0.003 for row in rows)


def test_singular_covariances_give_an_interval():
    noisy = noisify(nn.Sequential(nn.Identity(), Copies()), sigma=0.5, layers=[nn.Identity, Copies])
    inputs = torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None]
    row = layer_information(noisy, inputs, draws=16)["1", "I(X;T)"]
    assert 0 <= row.lower <= row.upper <= math.log(6) + 1e-12


@pytest.mark.parametrize("seed", range(8))
def test_skip_connection_is_seen_of_two_inputs(seed):
    noisy = noisify(Skip(), sigma=0.1, layers=["first", "second"])
    inputs = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="another way"):
        information_between_layers(noisy, inputs, "first", "second", draws=2, queries=2, seed=seed)
