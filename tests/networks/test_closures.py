"""Modules that forward reaches by a closure or an object, past the copy that layerbits runs, are refused by name."""

import pytest
import torch
from torch import nn

from layerbits import (
    LayerSelectionError,
    layer_activations,
    layer_information,
    layers,
    noisify,
    propagate,
)
from layerbits.networks import is_noisy
from tests.support.networks import tanh_mlp

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


class Caller:
    """An object that is no module and runs one."""

    def __init__(self, module):
        self.module = module

    def run(self, x):
        return self.module(x)


class Network(nn.Module):
    """Runs its block by `way`: a closure, an object, or an attribute."""

    def __init__(self, way):
        super().__init__()
        self.block, self.act, self.head = tanh_mlp(4, 3, 4), nn.Tanh(), nn.Linear(4, 2)
        ways = {"closure": lambda x: self.block(x), "object": Caller(self.block).run, "attribute": None}
        self.run_block = ways[way]

    def forward(self, x):
        return self.head(self.act((self.run_block or self.block)(x)))


CALLS = {
    "layers": layers,
    "noisify with inputs": lambda model, x: noisify(model, sigma=0.3, inputs=x),
    "first call": lambda model, x: noisify(model, sigma=0.3)(x),
    "layer_activations": layer_activations,
    "measurement with sigma": lambda model, x: layer_information(model, x, sigma=0.3, draws=2),
}
REFUSED = r"^model: got \w+ at 'block.*through a closure or another object.* self\.block:"
ways = pytest.mark.parametrize("way", ["closure", "object"])


@ways
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_module_that_a_copy_does_not_reach_is_refused_by_name(call, way):
    with pytest.raises(LayerSelectionError, match=REFUSED):
        call(Network(way), INPUTS)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_module_that_is_an_attribute_is_not_refused(call):
    call(Network("attribute"), INPUTS)


@ways
@pytest.mark.parametrize("measure", [propagate, layer_information])
def test_measurement_of_a_noisy_network_refuses_a_module_that_a_copy_does_not_reach(measure, way):
    model = noisify(Network("attribute"), sigma=0.3, inputs=INPUTS)
    model.run_block = Network(way).run_block
    assert measure(model, INPUTS, draws=2)  # accepted: the block belongs to another network
    model.run_block = (lambda x: model.block(x)) if way == "closure" else Caller(model.block).run
    state = torch.get_rng_state()
    with pytest.raises(LayerSelectionError, match=REFUSED):
        measure(model, INPUTS, draws=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_refused_network_stays_without_noise():
    model = Network("closure")
    with pytest.raises(LayerSelectionError):
        noisify(model, sigma=0.3, inputs=INPUTS)
    assert not is_noisy(model)
