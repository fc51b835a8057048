"""Activation functions that forward methods call as functions: they are layers and have noise."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import _get_current_function_mode
from torch.utils.checkpoint import checkpoint

import layerbits as lb


class Block(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return x + functional.relu(self.linear(x))


class Network(nn.Module):
    """Functions in the network itself, in two blocks, twice in one forward, and in place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.blocks, self.last = nn.Linear(3, 4), nn.ModuleList([Block(), Block()]), nn.Linear(4, 2)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        for block in self.blocks:
            x = block(x)
        functional.relu(x, inplace=True)
        return self.last(x.tanh())


LAYERS = ("tanh", "blocks.0.relu", "blocks.1.relu", "relu", "tanh@2")


@pytest.fixture
def inputs():
    return torch.randn(50, 3, generator=torch.Generator().manual_seed(1))


def noisy_network(inputs, **options):
    return lb.noisify(Network(), inputs=inputs, **{"sigma": 0.5} | options)


def test_functions_are_layers_named_by_the_module_that_calls_them(inputs):
    assert lb.layers(noisy_network(inputs), inputs).noisy == LAYERS


def test_the_function_of_a_module_is_not_a_layer_beside_the_module(inputs):
    class Activation(nn.Module):
        def forward(self, x):
            return functional.gelu(x) + 0.1

    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), Activation(), nn.Linear(4, 2))
    assert lb.layers(lb.noisify(model, sigma=0.1, inputs=inputs), inputs).noisy == ("1", "2")


def test_a_function_adds_its_noise_once():
    """The output of a block whose only function is noisy deviates from the output without noise by that noise."""
    model = nn.Sequential(Block(), nn.Identity())
    rows = torch.zeros(20_000, 4)
    lb.noisify(model, sigma=0.5, layers="0.relu", inputs=rows)
    deviation = (model(rows) - lb.layer_activations(model, rows, layers="0")["0"]).std()
    # The sample deviation of n normal values has a standard error of sigma / sqrt(2 n).
    assert abs(deviation - 0.5) < 5 * 0.5 / (2 * rows.numel()) ** 0.5


def test_an_in_place_function_writes_noisy_values_into_its_argument(inputs):
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 4)

        def forward(self, x):
            y = self.linear(x)
            functional.relu(y, inplace=True)
            return y

    model = nn.Sequential(InPlace(), nn.Linear(4, 2))
    lb.noisify(model, sigma=0.5, inputs=inputs)
    assert not torch.equal(model(inputs), model(inputs))


def test_an_in_place_function_has_the_gradient_of_the_function_out_of_place(inputs):
    class InPlace(nn.Module):
        def __init__(self, in_place):
            super().__init__()
            self.linear, self.in_place = nn.Linear(3, 4), in_place

        def forward(self, x):
            return functional.relu(self.linear(x), self.in_place)

    gradients = []
    for in_place in (True, False):
        torch.manual_seed(0)
        model = lb.noisify(InPlace(in_place), sigma=0.5, layers="relu", inputs=inputs)
        model(inputs).square().sum().backward()
        gradients.append(model.linear.weight.grad)
    assert torch.equal(*gradients)


def test_calls_of_one_function_can_have_different_noise(inputs):
    model = noisy_network(inputs, sigma={"tanh": 0.1, "tanh@2": 0.2}, layers=["tanh", "tanh@2"])
    assert {layer: noise.sigma for layer, noise in lb.noise_of(model).items()} == {"tanh": 0.1, "tanh@2": 0.2}


def test_functions_are_measured(inputs):
    table = lb.layer_information(noisy_network(inputs), inputs, draws=4)
    assert table.rows[0].layer == "tanh"
    assert len(table) == 3 * len(LAYERS)


def test_signals_and_activations_of_functions_are_recorded(inputs):
    model = noisy_network(inputs)
    assert tuple(lb.propagate(model, inputs, draws=2)) == LAYERS
    activations = lb.layer_activations(lb.remove_noise(model), inputs, layers="blocks.0.relu")["blocks.0.relu"]
    expected = functional.relu(model.blocks[0].linear(torch.tanh(model.first(inputs))))
    assert torch.equal(activations, expected.detach())


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_the_same_noise(inputs, make_copy):
    model = noisy_network(inputs)
    torch.manual_seed(2)
    values = model(inputs)
    torch.manual_seed(2)
    assert torch.equal(make_copy(model)(inputs), values)


def test_the_first_call_has_the_noise_of_later_calls(inputs):
    model = lb.noisify(Network(), sigma=0.5)
    torch.manual_seed(2)
    values = model(inputs)
    torch.manual_seed(2)
    assert torch.equal(model(inputs), values)
    assert not torch.equal(model(inputs), values)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # from the compiler itself
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_functions_have_the_same_noise(inputs, backend):
    model = noisy_network(inputs)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    torch.manual_seed(2)
    values = compiled(inputs)
    torch.manual_seed(2)
    # Rounding: sums of at most 4 terms of size below 10, in float32, through four layers.
    torch.testing.assert_close(values, model(inputs), atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # in the pass without gradients
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_block_has_the_gradient_of_a_block_without_checkpoint(inputs, reentrant):
    class Checkpointed(Network):
        def forward(self, x):
            x = torch.tanh(self.first(x))
            for block in self.blocks:
                x = checkpoint(block, x, use_reentrant=reentrant)
            return self.last(x)

    class Plain(Network):
        def forward(self, x):
            x = torch.tanh(self.first(x))
            for block in self.blocks:
                x = block(x)
            return self.last(x)

    gradients = []
    for network in (Checkpointed, Plain):
        model = lb.noisify(network(), sigma=0.5, inputs=inputs)
        torch.manual_seed(2)
        model(inputs).square().sum().backward()
        gradients.append(model.first.weight.grad)
    assert torch.equal(*gradients)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # in the pass without gradients
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_function_in_a_checkpointed_method_is_refused(inputs, reentrant):
    class Checkpointed(Block):
        def body(self, x):
            return functional.relu(self.linear(x))

        def forward(self, x):
            return checkpoint(self.body, x, use_reentrant=reentrant)

    model = lb.noisify(nn.Sequential(nn.Linear(3, 4), Checkpointed(), nn.Linear(4, 2)), sigma=0.5, inputs=inputs)
    with pytest.raises(lb.LayerSelectionError, match="'relu' in a checkpoint of Checkpointed"):
        model(inputs)


def test_an_error_in_forward_leaves_no_function_mode(inputs):
    class Failing(Network):
        def forward(self, x):
            super().forward(x)
            if self.fails:
                raise RuntimeError("planned")
            return x

    model = Failing()
    model.fails = False
    lb.noisify(model, sigma=0.5, layers="tanh", inputs=inputs)
    model.fails = True
    with pytest.raises(RuntimeError, match="planned"):
        model(inputs)
    assert _get_current_function_mode() is None
    model.fails = False
    model(inputs)


def test_a_function_beside_a_module_of_its_name_is_a_layer_of_its_own(inputs):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return functional.relu(functional.relu(self.relu(x) - 1) - 1) * 2

    model, names = nn.Sequential(Both()), ("0.relu", "0.relu()", "0.relu()@2")
    assert lb.layers(model, inputs).names == (*names, "0")
    assert list(lb.layer_activations(model, inputs, layers="0.relu")) == ["0.relu"]
    sigma = dict(zip(names, (0.1, 0.2, 0.3), strict=True))
    noisy = lb.noisify(model, sigma=sigma, inputs=inputs)
    assert {layer: noise.sigma for layer, noise in lb.noise_of(noisy).items()} == sigma
    assert tuple(lb.propagate(noisy, inputs, draws=2)) == names
