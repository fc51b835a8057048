"""Modules that forward reaches through a closure may not write into their tensors in passes of layerbits."""

import copy

import pytest
import torch
from torch import nn

from layerbits import LayerSelectionError, layer_activations, layer_information, layers, noisify
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(20, 4, dtype=torch.float32)


class Counter(nn.Module):
    """Counts passes, also in evaluation."""

    def __init__(self):
        super().__init__()
        self.register_buffer("n_passes", torch.zeros(()))

    def forward(self, x):
        self.n_passes += 1
        return x


class Network(nn.Module):
    """Calls `outside(self)` before tanh."""

    def __init__(self, outside):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.act, self.last, self.outside = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), outside

    def forward(self, x):
        return self.last(self.act(self.outside(self)(self.first(x))))


CALLS = {
    "layers": layers,
    "noisify with inputs": lambda model, x: noisify(model, sigma=0.3, inputs=x),
    "first call": lambda model, x: noisify(model, sigma=0.3)(x),
    "layer_activations": layer_activations,
    "measurement with sigma": lambda model, x: layer_information(model, x, sigma=0.3, queries=2),
}
MODULES = {
    "batch norm": (lambda: nn.BatchNorm1d(3), r"BatchNorm1d, .* 'num_batches_tracked', .*, or call its eval\(\)$"),
    "counter": (lambda: Counter().eval(), r"Counter, .* 'n_passes', .* attribute of the network$"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("make", "message"), MODULES.values(), ids=MODULES)
def test_module_of_a_closure_that_writes_is_refused_before_it_writes(call, make, message):
    outside = make()
    before = copy.deepcopy(outside.state_dict())
    with pytest.raises(LayerSelectionError, match=f"^model: got {message}"):
        call(Network(lambda network: outside), INPUTS)
    assert all(torch.equal(outside.state_dict()[name], value) for name, value in before.items())


def test_measurement_of_a_noisy_network_refuses_a_module_that_writes():
    outside = nn.BatchNorm1d(3).eval()
    model = noisify(Network(lambda network: outside), sigma=0.3, inputs=INPUTS)
    assert layer_information(model, INPUTS, queries=2)
    outside.train()
    with pytest.raises(LayerSelectionError, match="'num_batches_tracked'"):
        layer_information(model, INPUTS, queries=2)
    assert int(outside.num_batches_tracked) == 0


def test_remedies_of_a_refused_module_work():
    outside = nn.BatchNorm1d(3)
    by_attribute = Network(lambda network: network.held)
    by_attribute.held = outside
    expected = layer_information(by_attribute, INPUTS, sigma=0.3, queries=2)["act", "I(X;T)"]
    assert int(outside.num_batches_tracked) == 0
    outside.eval()
    table = layer_information(Network(lambda network: outside), INPUTS, sigma=0.3, queries=2)
    assert table["act", "I(X;T)"].value == expected.value


def test_module_in_a_list_is_a_copy_and_may_write():
    outside = Counter()
    model = Network(lambda network: network.listed[0])
    model.listed = [outside]
    assert layer_information(model, INPUTS, sigma=0.3, queries=2)
    assert outside.n_passes == 0


def test_batch_norm_in_a_list_has_a_remedy_that_works():
    model = Network(lambda network: network.listed[0])
    model.listed = [nn.BatchNorm1d(3)]
    model.eval()
    with pytest.raises(ValueError, match=r"^inputs: got rows that act .* call its eval\(\) where it is no submodule"):
        layer_information(model, INPUTS, sigma=0.3, queries=2)
    model.listed[0].eval()
    assert layer_information(model, INPUTS, sigma=0.3, queries=2)
