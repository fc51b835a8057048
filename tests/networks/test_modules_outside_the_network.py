"""Activation functions in modules that are no submodules of the network are layers of the module that calls them."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from layerbits import LayerSelectionError, layer_information, layers, noise_of, noise_off, noisify, remove_noise
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(30, 3, dtype=torch.float32)
SIGMA = 0.5


class Rectified(nn.Module):
    """Calls relu as a function."""

    def forward(self, x):
        return functional.relu(x)


OUTSIDE = nn.ReLU()
TRACED, TRACED_MODULE = map(torch.fx.symbolic_trace, (Rectified(), nn.Sequential(OUTSIDE)))


class Network(nn.Module):
    """Calls `outside(self)`, which computes relu, and then tanh."""

    def __init__(self, outside):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.activations, self.by_name = [nn.ReLU()], {"relu": nn.ReLU()}
        self.outside = outside

    def forward(self, x):
        return self.last(torch.tanh(self.outside(self)(self.first(x))))


OUTSIDES = {
    "new": lambda network: nn.ReLU(),
    "new own": lambda network: Rectified(),
    "traced": lambda network: TRACED,
    "traced forward": lambda network: TRACED.forward,
    "traced module": lambda network: TRACED_MODULE,
    "nested": lambda network: nn.Sequential(Rectified()),
    "global": lambda network: OUTSIDE,
    "list": lambda network: network.activations[0],
    "dict": lambda network: network.by_name["relu"],
}
outsides = pytest.mark.parametrize("outside", OUTSIDES.values(), ids=OUTSIDES)


def run(model):
    torch.manual_seed(1)
    return model(INPUTS)


def computed(model):
    """Compute the values of `run` from the definition, with the random numbers in the order of the layers."""
    torch.manual_seed(1)
    hidden = torch.relu(model.first(INPUTS))
    hidden = torch.tanh(hidden + SIGMA * torch.randn_like(hidden))
    return model.last(hidden + SIGMA * torch.randn_like(hidden))


@outsides
def test_function_of_a_module_outside_the_network_has_noise_in_every_pass(outside):
    model = noisify(Network(outside), sigma=SIGMA, inputs=INPUTS)
    assert list(noise_of(model)) == ["relu", "tanh"]
    for noisy in (model, copy.deepcopy(model), model.eval()):
        assert torch.equal(run(noisy), computed(noisy))


def test_each_call_is_a_layer_and_is_measured():
    twice = nn.Sequential(OUTSIDE, nn.Linear(4, 4), OUTSIDE)
    network = nn.Sequential(Network(lambda network: twice), nn.Identity())
    names = ("0.relu", "0.relu@2", "0.tanh")
    assert set(names) < set(layers(network, INPUTS).names)
    assert {row.layer for row in layer_information(network, INPUTS, sigma=SIGMA, draws=2)} == set(names)
    noisify(network, sigma=SIGMA, inputs=INPUTS)
    assert {row.layer for row in layer_information(network, INPUTS, draws=2)} == set(names)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # from the compiler itself
@pytest.mark.parametrize("outside", ["list", "traced"])
def test_compiled_pass_has_the_noise_of_an_uncompiled_pass(outside):
    model = noisify(Network(OUTSIDES[outside]), sigma=SIGMA, inputs=INPUTS)
    torch.compiler.reset()
    # The backend "eager" calls the same operations in the same order.
    assert torch.equal(run(torch.compile(model, backend="eager", fullgraph=True)), run(model))
    torch.compiler.reset()


@pytest.mark.parametrize("call", [lambda graph: graph.forward, lambda graph: graph, lambda graph: lambda *x: graph(*x)])
def test_compiled_pass_in_two_graphs_adds_the_noise_once(call):
    def outside(network):
        torch._dynamo.graph_break()
        return OUTSIDE

    model = noisify(Network(outside), sigma=SIGMA, inputs=INPUTS)
    torch.compiler.reset()
    compiled = torch.compile(model, backend=lambda graph, inputs: call(graph))
    assert torch.equal(run(compiled), computed(model))
    torch.compiler.reset()


def test_checkpoint_of_a_module_outside_the_network_is_refused_and_the_remedy_works():
    def outside(network):
        activation = network.activations[0]
        return lambda x: checkpoint(activation, x, use_reentrant=False)

    model = noisify(Network(outside), sigma=SIGMA, inputs=INPUTS)
    with pytest.raises(LayerSelectionError, match=r"'relu' in a checkpoint .* make the function .* a submodule"):
        model(INPUTS)
    model.activation = model.activations[0]
    noisify(model, sigma=SIGMA, inputs=INPUTS)
    assert list(noise_of(model)) == ["activation", "tanh"]
    assert torch.equal(run(model), computed(model))


class CountedParts(dict):
    """The submodules of a module; counts how often all of them are listed."""

    n_listed = 0

    def values(self):
        self.n_listed += 1
        return super().values()


def test_pass_lists_the_modules_of_the_network_once():
    n_listed = []
    for n_calls in (1, 3):
        outside = nn.Sequential(*[Rectified()] * n_calls)
        model = noisify(Network(lambda network, outside=outside: outside), sigma=SIGMA, inputs=INPUTS)
        model._modules = CountedParts(model._modules)
        model(INPUTS)
        n_listed.append(model._modules.n_listed)
    assert n_listed == [1, 1]


def test_function_of_a_submodule_that_noisify_did_not_observe_has_no_noise():
    model = noisify(Network(OUTSIDES["global"]), sigma=SIGMA, inputs=INPUTS)
    model.added = nn.ModuleList([Rectified()])
    model.added[0].add_module("whole", model)  # a circle
    model.outside = lambda network: network.added[0]
    torch.manual_seed(1)
    hidden = torch.tanh(torch.relu(model.first(INPUTS)))
    expected = model.last(hidden + SIGMA * torch.randn_like(hidden))
    assert torch.equal(run(model), expected)


def test_function_with_weights_in_a_module_outside_the_network_is_no_layer():
    outside = nn.PReLU()
    model = nn.Sequential(Network(lambda network: outside), nn.Identity())
    assert list(noise_of(noisify(model, sigma=SIGMA, inputs=INPUTS))) == ["0.tanh"]
    model[0] = nn.Linear(3, 4)
    model[0].forward = outside.forward
    with pytest.raises(LayerSelectionError, match=r"^layers: got None, .* calls none \(.*F\.prelu.* not among them\)"):
        noisify(model, sigma=SIGMA, inputs=INPUTS)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_encoder_outside_the_network_that_may_make_nested_tensors_is_refused_and_the_remedy_works():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 4, dropout=0.0, batch_first=True), 1).eval()
    padding = torch.arange(3) > torch.arange(30)[:, None] % 3
    model = Network(lambda network: lambda x: encoder(x[:, None].repeat(1, 3, 1), None, padding[: len(x)]).mean(1))
    with torch.no_grad():
        expected = model.eval()(INPUTS)
    for selected in (None, "last"):
        with pytest.raises(
            LayerSelectionError, match=r"^model: got a TransformerEncoder that is no .* to an attribute"
        ):
            noisify(model, sigma=SIGMA, inputs=INPUTS, layers=selected)
    model.encoder = copy.deepcopy(encoder)
    model.outside = lambda network: lambda x: network.encoder(x[:, None].repeat(1, 3, 1), None, padding).mean(1)
    noisify(model, sigma=SIGMA, inputs=INPUTS)
    with noise_off(model), torch.no_grad():
        # The nested and the dense attention round differently, in some hundred operations on values below 10.
        assert torch.allclose(model(INPUTS), expected, rtol=0, atol=1000 * torch.finfo(torch.float32).eps)
    encoder.use_nested_tensor = False
    noisify(Network(lambda network: lambda x: encoder(x[:, None]).mean(1)), sigma=SIGMA, inputs=INPUTS)


@pytest.mark.parametrize(
    ("in_a_list", "teacher_inputs"),
    [(True, torch.zeros(1, 4)), (False, torch.zeros(1, 4)), (False, None)],
    ids=["list", "closure", "closure before the first call"],
)
def test_noisy_module_outside_the_network_is_refused_and_the_remedy_works(in_a_list, teacher_inputs):
    teacher = noisify(nn.Sequential(nn.ReLU(), nn.Identity()), sigma=0.3, layers="0", inputs=teacher_inputs)
    model = Network((lambda network: network.activations[0]) if in_a_list else (lambda network: teacher))
    model.activations = [teacher]
    words = r"^model: got a network whose forward calls a noisy Sequential .*remove_noise on that Sequential$"
    with pytest.raises(LayerSelectionError, match=words):
        noisify(model, sigma=SIGMA, inputs=INPUTS)
    with pytest.raises(LayerSelectionError, match=words):
        layer_information(model, INPUTS, sigma=SIGMA, draws=2)
    remove_noise(teacher)
    assert torch.equal(run(noisify(model, sigma=SIGMA, inputs=INPUTS)), computed(model))
