"""A layer takes over a larger lower end of a readout A^T T with a fixed A, because A^T T is a function of T."""

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import Tokens, layer_information, noisify
from layerbits.estimators import decoder_candidates
from layerbits.estimators.data_processing import Chains
from layerbits.estimators.dropout_decoders import decoders_of
from layerbits.estimators.problem import Problem
from layerbits.networks import read_inputs

pytestmark = pytest.mark.usefixtures("one_thread")


class Repetition(nn.Module):
    """The first layer has one noisy value; 40 tokens of 8 units repeat it on different waves, with their own noise."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()
        self.register_buffer("places", 3 * torch.randn(40, 8, generator=torch.Generator().manual_seed(0)))

    def forward(self, values, keep=None):
        noisy = self.first(values)
        return self.second(noisy + torch.tanh(4 * (noisy + self.places))).sum((1, 2))


@pytest.fixture(autouse=True)
def mixture_alone_in_many_dimensions(monkeypatch):
    """Try the mixture of the draws alone in more than 20 dimensions, where it says nothing: a weak own lower end."""

    def few_decoders(draws, classes, queries):
        return iter(()) if draws.shape[2] > 20 else decoders_of(draws, classes, queries)

    monkeypatch.setattr(decoder_candidates, "decoders_of", few_decoders)


def network():
    model = noisify(Repetition(), sigma={"first": 0.3, "second": 0.3}, layers=["first", "second"])
    return model, torch.linspace(-1.5, 1.5, 60)[:, None, None]


def rows(readout, layer="second", **options):
    model, inputs = network()
    table = layer_information(
        model,
        inputs,
        (np.arange(60) > 30).astype(int),
        draws=16,
        readout=readout,
        layers=layer,
        **options,
        estimator="draws",
    )
    return {(row.layer, row.quantity): row for row in table}


def test_layer_takes_over_the_lower_end_of_its_readout():
    """The mean has 8 units, in which few draws suffice; its lent end has a tenth of the risk and is a little lower."""
    alone, both = rows(None), rows([None, "mean"])
    layer, readout = both["second", "I(X;T)"], both["second[mean]", "I(X;T)"]
    assert alone["second", "I(X;T)"].lower < readout.lower - 0.1
    assert readout.lower - 0.2 < layer.lower < readout.lower
    assert layer.note == "lower end from 'second[mean]'"
    assert layer.flags == ("data_processing",)
    assert not readout.flags


def test_entropies_take_no_end_of_a_readout():
    alone, both = rows(None), rows([None, "mean"])
    for quantity in ("h(T)", "h(T|X)"):
        assert both["second", quantity].lower == alone["second", quantity].lower
        assert both["second", quantity].flags == alone["second", quantity].flags


def test_readout_keeps_its_own_ends():
    alone, both = rows("mean"), rows([None, "mean"])
    for quantity in ("I(X;T)", "I(T;Y)", "I(X;T|Y)", "h(T)"):
        row, other = alone["second[mean]", quantity], both["second[mean]", quantity]
        assert (row.lower, row.upper) == (other.lower, other.upper)


def test_order_of_the_readouts_does_not_matter():
    first, second = rows([None, "mean"]), rows(["mean", None])
    assert first["second", "I(X;T)"].lower == second["second", "I(X;T)"].lower


def test_readout_under_a_mask_lends_no_end():
    """A readout under a mask is a function of T and of the mask, which may say more about the input than T."""
    model, values = network()
    inputs = {"values": values, "keep": torch.ones(60, 40)}
    readouts = [None, "mean", Tokens("last", mask="keep")]
    problem = Problem.of(model, read_inputs(inputs, model), layers="second", readout=readouts)
    assert list(problem.parts) == ["second", "second[mean]", "second[last mask=keep]"]
    assert Chains.of(problem).later == {"second": ("second[mean]",)}


def test_layer_of_a_known_channel_takes_no_end_of_a_readout():
    model, inputs = network()
    problem = Problem.of(model, read_inputs(inputs, model), readout=[None, "mean"])
    assert Chains.of(problem).later["first"] == ("second",)
