"""Activation functions that do not depend on the input of the network: by default they have no noise."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from layerbits import LayerSelectionError, layer_information, layers, noisify
from layerbits.networks.observation.layer_calls import observe

INPUTS = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))


class Positions(nn.Module):
    """Adds a bias that a small network makes of positions, as the attention of Swin V2 does."""

    def __init__(self, act=None):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(4, 4), act or nn.ReLU(), nn.Linear(4, 2)
        self.bias = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 4))
        self.register_buffer("positions", torch.ones(1, 1))

    def forward(self, x):
        position = self.positions.clone()
        position += 1  # new memory, which no tensor that depends on the input had
        return self.last(self.act(self.first(x) + functional.silu(self.bias(position))))


def depending(model, inputs=INPUTS):
    return {call.name: call.depends_on_input for call in observe(model, (inputs,), {}) if call.is_activation}


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_functions_of_parameters_alone_are_left_out_of_the_default_with_a_warning(rows):
    model = Positions()
    with pytest.warns(UserWarning, match="None leaves out bias.1, silu, each of which does not depend on the input"):
        noisify(model, sigma=0.1, inputs=INPUTS[:rows])
    assert layers(model, INPUTS[:rows]).noisy == ("act",)
    model.train()(INPUTS[:rows])  # raises if it warns


def test_function_of_parameters_alone_that_is_named_has_noise():
    model = noisify(Positions(), sigma=0.1, layers=["bias.1", "act"], inputs=INPUTS)
    assert layers(model, INPUTS).noisy == ("bias.1", "act")


def test_measurement_leaves_out_functions_of_parameters_alone():
    with pytest.warns(UserWarning, match="None leaves out bias.1, silu, each of which does not depend"):
        table = layer_information(Positions(), INPUTS, sigma=0.5)
    assert {row.layer for row in table} == {"act"}


def test_network_whose_layers_do_not_depend_on_the_input_is_refused():
    class Constant(Positions):
        def forward(self, x):
            return x + self.bias(self.positions)

    with pytest.raises(LayerSelectionError, match=r"\(bias.1\) returns an output .* or does not depend on its input"):
        noisify(Constant(), sigma=0.1, inputs=INPUTS)


class Dead(nn.Module):
    """Has units whose outputs are the same for all inputs."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.second, self.last = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2)
        nn.init.zeros_(self.first.weight)
        nn.init.constant_(self.first.bias, -1.0)
        nn.init.zeros_(self.second.weight)

    def forward(self, x):
        return self.last(torch.tanh(self.second(self.act(self.first(x)))))


class Numpy(Dead):
    """Computes a part in NumPy."""

    def forward(self, x):
        return self.last(torch.tanh(self.second(torch.from_numpy(np.sin(x.numpy(force=True))))))


class Numbers(Dead):
    """Makes a new tensor of numbers."""

    def forward(self, x):
        return self.last(torch.tanh(self.second(torch.tensor([[value.item() for value in row] for row in x]))))


class Lists(Dead):
    """Makes a new tensor of a list."""

    def forward(self, x):
        return self.last(torch.tanh(self.second(torch.tensor(x.tolist()))))


class Written(Dead):
    """Writes the input into a part of a new tensor."""

    def forward(self, x):
        values, sums = torch.zeros(len(x), 4), torch.zeros(len(x), 4)
        values[:, 1:3] = x[:, :2]
        torch._foreach_add_([sums], [x])  # returns nothing
        return self.last(torch.tanh(self.second(values)) + torch.sigmoid(self.second(sums)))


class Foreign(Dead):
    """Copies the input by another library than torch."""

    def __init__(self):
        super().__init__()
        nn.init.eye_(self.second.weight)

    def forward(self, x):
        values = torch.zeros(len(x), 4)
        with torch._C.DisableTorchFunction():
            values.numpy()[:] = x.numpy(force=True)
        return self.last(torch.tanh(self.second(values)))


@pytest.mark.parametrize("network", [Dead, Numpy, Numbers, Lists, Written, Foreign])
def test_layer_that_depends_on_the_input_is_never_left_out(network):
    assert set(depending(network()).values()) == {True}


def test_layer_of_indices_depends_on_them():
    model = nn.Sequential(nn.Embedding(7, 4), nn.Tanh(), nn.Linear(4, 2))
    assert depending(model, torch.tensor([[1, 2], [3, 4]])) == {"1": True}


def test_arguments_whose_tensors_are_not_found_count_as_inputs():
    class Graph:
        def __init__(self, values):
            self.values = values

    class Network(Dead):
        def forward(self, graph, scale):
            return scale * self.last(torch.tanh(self.second(graph.values)))

    calls = observe(Network(), (Graph(INPUTS), torch.ones(1)), {})
    assert all(call.depends_on_input for call in calls)
