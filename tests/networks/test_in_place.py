"""Noise of modules that act in place: the same as out of place, whether or not later code uses the output."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from layerbits import LayerSelectionError, noise_of, noise_off, noisify, propagate, remove_noise
from layerbits.networks.noise.hooks import noise_hooks
from layerbits.networks.noise.in_place import CloneArgument

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    """Uses the output of an activation function and, after the call, its argument; the twin uses the output twice."""

    def __init__(self, activation: nn.Module, *, twin: bool = False, by_name: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.body, self.act, self.head = nn.Linear(4, 4), activation, nn.Linear(4, 4)
        self.twin, self.by_name = twin, by_name
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        output = self.act(input=hidden) if self.by_name else self.act(hidden)
        if self.twin:
            hidden = output
        return self.head(output) + self.head(hidden).square()


class Ignoring(Block):
    """Uses only the argument of the activation function after the call; the twin uses only the output."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x)
        output = self.act(hidden)
        return self.head(output if self.twin else hidden)


class Checkpointed(Block):
    """Runs `Block` in a checkpoint."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=self.reentrant)


class Reentrant(Checkpointed):
    reentrant = True


ACTIVATIONS = {
    "ReLU": nn.ReLU,
    "LeakyReLU": nn.LeakyReLU,
    "Sequential": lambda inplace=False: nn.Sequential(nn.ReLU(inplace=inplace)),
}
BLOCKS = [Block, Ignoring, Checkpointed, Reentrant]
any_activation = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)


def pair(block, activation=nn.ReLU, sigma=0.3):
    """Return a noisy network whose activation function acts in place, and its twin, whose function does not."""
    networks = block(activation(inplace=True)), block(activation(), twin=True)
    return [noisify(network, sigma=sigma, layers="act", inputs=INPUTS) for network in networks]


def run(model, inputs=INPUTS):
    """Return the output of a pass with a fixed seed and the gradients of the parameters and inputs."""
    torch.manual_seed(3)
    inputs = inputs.clone().requires_grad_()
    output = model(inputs)
    output.square().sum().backward()
    return [output.detach(), inputs.grad, *(parameter.grad for parameter in model.parameters())]


def equal(tensors, expected):
    return len(tensors) == len(expected) and all(torch.equal(*pair) for pair in zip(tensors, expected, strict=True))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@any_activation
@pytest.mark.parametrize("block", BLOCKS)
def test_output_and_gradients_are_those_of_the_network_out_of_place(block, activation):
    in_place, out_of_place = pair(block, activation)
    assert equal(run(in_place), run(out_of_place))


def test_argument_by_name_has_the_noise():
    in_place = noisify(Block(nn.ReLU(inplace=True), by_name=True), sigma=0.3, inputs=INPUTS)
    assert equal(run(in_place), run(pair(Block)[1]))


def test_network_that_ignores_the_output_is_noisy():
    model, _ = pair(Ignoring)
    assert not torch.equal(model(INPUTS), model(INPUTS))


def test_noise_that_is_off_leaves_the_values_of_the_network():
    model, _ = pair(Block)
    with noise_off(model):
        assert torch.equal(model(INPUTS), Block(nn.ReLU(inplace=True))(INPUTS))


def test_signals_of_later_layers_have_the_noise_in_a_measurement():
    networks = [
        nn.Sequential(Ignoring(nn.ReLU(inplace=True)), nn.Tanh(), nn.Linear(4, 2)),
        nn.Sequential(Ignoring(nn.ReLU(), twin=True), nn.Tanh(), nn.Linear(4, 2)),
    ]
    signals = [propagate(noisify(network, sigma=0.3, inputs=INPUTS), INPUTS, draws=4) for network in networks]
    assert list(signals[0]) == ["0.act", "1"]
    assert all(torch.equal(signals[0][layer], signals[1][layer]) for layer in signals[1])
    assert signals[0]["1"].std(dim=1).min() > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # from torch's own code
@pytest.mark.parametrize("block", [Block, Ignoring])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_output_and_gradients_are_those_of_the_uncompiled_network(backend, block):
    torch.compiler.reset()
    in_place, _ = pair(block)
    expected = run(in_place)
    in_place.zero_grad()
    compiled = torch.compile(in_place, fullgraph=True, backend=backend)
    torch.testing.assert_close(run(compiled), expected)
    with noise_off(in_place):
        assert torch.equal(compiled(INPUTS), compiled(INPUTS))
    torch.compiler.reset()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_the_same_noise(duplicate):
    model, _ = pair(Block)
    assert equal(run(duplicate(model)), run(model))


def test_removed_noise_leaves_the_network_as_it_was():
    model = remove_noise(pair(Block)[0])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(model(INPUTS), Block(nn.ReLU(inplace=True))(INPUTS))


def test_argument_is_released_after_an_error_in_the_module():
    model, _ = pair(Block)
    (hook,) = (hook for hook in noise_hooks(model) if isinstance(hook, CloneArgument))
    with pytest.raises(RuntimeError, match="Boolean inputs not supported"):
        model.act(torch.zeros(2, 4, dtype=torch.bool))
    assert not hook.arguments.pairs


def test_noise_after_an_identity_is_not_written_into_its_argument():
    model = noisify(Ignoring(nn.Identity()), sigma=0.3, layers="act", inputs=INPUTS)
    assert torch.equal(model(INPUTS), model(INPUTS))


def test_dropout_in_place_writes_noise_into_its_argument_in_evaluation():
    model = noisify(Ignoring(nn.Dropout(0.5, inplace=True)), sigma=0.3, layers="act", inputs=INPUTS)
    model.eval()
    assert not torch.equal(model(INPUTS), model(INPUTS))
    assert list(noise_of(model)) == ["act"]


class Alternating(nn.Module):
    """A ReLU that acts in place only on tensors with more than 3 columns."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu_() if x.shape[1] > 3 else x.relu()


def test_module_that_acts_in_place_in_some_calls_only_is_refused():
    act = Alternating()
    model = nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 3), act, nn.Linear(3, 2))
    with pytest.raises(LayerSelectionError, match="layers: got '1', which acts in place in some of its calls only"):
        noisify(model, sigma=0.3, layers="1", inputs=INPUTS)


@pytest.mark.parametrize("first", [nn.Identity(), nn.Flatten(0)], ids=["the argument", "a view"])
def test_noise_in_an_argument_of_the_network_is_refused(first):
    model, x = nn.Sequential(first, nn.ReLU(inplace=True), nn.Linear(8, 1)), torch.ones(1, 8)
    with pytest.raises(LayerSelectionError, match=r"^layers: got '1', which acts in place on an argument.*inplace=Fal"):
        noisify(model, sigma=0.3)(x)
    assert torch.equal(x, torch.ones(1, 8))


class Inline(nn.Module):
    """Calls an activation function that acts in place on the argument, and another on a tensor of its own."""

    def __init__(self, relu):
        super().__init__()
        self.relu_in_place, self.head = relu, nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh_(self.relu_in_place(x) + 1))


FUNCTIONS_IN_PLACE = {
    "inplace=True": lambda x: functional.relu(x, inplace=True),
    "underscore": lambda x: x.relu_(),
    "of a view": lambda x: functional.relu_(x.view(-1)),
    "of a module outside the network": lambda x: nn.ReLU(inplace=True)(x),
}


@pytest.mark.parametrize("relu", FUNCTIONS_IN_PLACE.values(), ids=FUNCTIONS_IN_PLACE)
def test_noise_of_a_function_in_an_argument_of_the_network_is_refused(relu):
    model, x = Inline(relu), torch.ones(1, 8)
    with pytest.raises(
        LayerSelectionError, match=r"^layers: got 'relu', which acts in place on an argument.*function r"
    ):
        noisify(model, sigma=0.3)(x)
    assert torch.equal(x, torch.ones(1, 8))
    assert list(noise_of(noisify(model, sigma=0.3, layers="tanh", inputs=x))) == ["tanh"]
