"""A network that was compiled, or whose modules were, has the layers of the network before."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

import layerbits as lb
from tests.support.networks import tanh_mlp

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch._dynamo reads it

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.act = nn.Linear(4, 4), nn.Tanh()

    def forward(self, x):
        return functional.relu(self.act(self.linear(x)))


def network(compiled):
    torch.compiler.reset()
    torch.manual_seed(0)
    block = Block()
    if compiled:
        block.act = torch.compile(block.act, backend="eager")
        block = torch.compile(block, backend="eager")
    return nn.Sequential(nn.Linear(4, 4), block, nn.Linear(4, 2))


@pytest.mark.parametrize("sigma", [0.3, {"1.act": 0.3, "1.relu": 0.2}])
def test_layers_have_the_names_of_the_modules_before_compilation(sigma):
    models = [network(compiled) for compiled in (True, False)]
    assert str(lb.layers(models[0], INPUTS)) == str(lb.layers(models[1], INPUTS))
    tables = [lb.layer_information(model, INPUTS, sigma=sigma) for model in models]
    assert [row.value for row in tables[0]] == [row.value for row in tables[1]]
    for model in models:
        lb.noisify(model, sigma=sigma, inputs=INPUTS)
    assert repr(lb.noise_of(models[0])) == repr(lb.noise_of(models[1]))
    assert lb.layers(models[0], INPUTS).noisy == ("1.act", "1.relu")
    tables = [lb.layer_information(model, INPUTS, draws=4) for model in models]
    assert [row.value for row in tables[0]] == [row.value for row in tables[1]]
    lb.noise_of(models[0])["1.act"] = 0.5
    assert not models[0](INPUTS).equal(models[0](INPUTS))
    with lb.noise_off(models[0]):
        values = models[0](INPUTS)
    assert torch.equal(values, network(compiled=False)(INPUTS))


def rows(model):
    # Seconds differ from run to run.
    return [repr(dataclasses.replace(row, seconds=0.0)) for row in lb.layer_information(model, INPUTS, draws=4)]


def test_compiled_network_is_measured_as_the_network_inside():
    model, plain = (lb.noisify(tanh_mlp(4, 3, 3, 2, seed=1), sigma=0.3, inputs=INPUTS) for _ in range(2))
    compiled = torch.compile(model, backend="eager")
    compiled(INPUTS)
    assert rows(compiled) == rows(plain)
    assert lb.layers(compiled, INPUTS).noisy == ("1", "3")
    outputs = []
    for called in (compiled, plain):
        torch.manual_seed(3)
        outputs.append(called(INPUTS))
    torch.testing.assert_close(*outputs)
