"""Readouts of layers with DropoutNoise: a token is measured like a layer of its units."""

import dataclasses

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

NOISE = lb.DropoutNoise(0.5, 0.2)
TOKENS = normal_tensor(20, 3, 2)
MASK = torch.tensor([[1, 1, 0]] * 10 + [[1, 0, 0]] * 10)

pytestmark = pytest.mark.usefixtures("one_thread")


class Tokenwise(nn.Module):
    """Two calls that act on each token alone; the mask has no effect."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Tanh(), nn.Tanh()

    def forward(self, tokens, mask=None):
        return self.second(1.5 * self.first(tokens))


def measured(tokens, layer, readout=None, **options):
    """Measure a layer, or a readout of the layer, and return the estimates by quantity, without names and times."""
    model = lb.noisify(Tokenwise(), sigma=NOISE, layers=nn.Tanh, inputs=tokens)
    rows = lb.layer_information(model, tokens, layers=layer, readout=readout, draws=64, **options)
    return {row.quantity: dataclasses.replace(row, layer="", seconds=0, flags=()) for row in rows}


@pytest.mark.parametrize(("readout", "position"), [("first", 0), ("last", 2), (1, 1)])
def test_a_token_of_a_known_channel_is_measured_like_a_layer_of_its_units(readout, position):
    assert measured(TOKENS, "first", readout) == measured(TOKENS[:, position], "first")


@pytest.mark.parametrize(("which", "positions"), [("first", torch.zeros(20)), ("last", MASK.sum(1) - 1)])
def test_a_kept_token_is_measured_like_a_layer_of_its_units(which, positions):
    chosen = TOKENS[torch.arange(20), positions.long()]
    readout = lb.Tokens(which, mask="mask")
    rows = measured({"tokens": TOKENS, "mask": MASK}, "first", readout)
    assert rows == measured(chosen, "first")


def test_a_token_behind_noise_has_the_information_of_a_network_of_its_own():
    """Noise of the tokens differs from that of the network of one token, so the values differ by their errors.

    At this confidence, one of two correct intervals misses the true value with a probability of 2e-6.
    """
    options = {"confidence": 1 - 1e-6}
    for quantity, row in measured(TOKENS, "second", "last", **options).items():
        alone = measured(TOKENS[:, 2], "second", **options)[quantity]
        assert row.upper - row.lower < (1.2 if quantity == "I(X;T)" else 3.1), quantity
        assert max(row.lower, alone.lower) <= min(row.upper, alone.upper), quantity


def test_a_token_lends_its_lower_end_to_its_layer():
    """The other tokens are 0, so the layer has no more information than the token, in more dimensions."""
    tokens = torch.zeros(20, 40, 1, dtype=torch.float64)
    tokens[:, -1, 0] = torch.linspace(-2, 2, 20, dtype=torch.float64)
    model = lb.noisify(Tokenwise(), sigma=NOISE, layers=nn.Tanh, inputs=tokens)
    table = lb.layer_information(model, tokens, layers="second", readout=[None, "last"], draws=64)
    assert "lower end from 'second[last]'" in table["second", "I(X;T)"].note
