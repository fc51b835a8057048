"""Noise of parts of a network, compiled or not: no part has the noise of another; recursive and interrupted passes."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import _len_torch_function_stack

import layerbits as lb

# Warnings of the compiler itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute"),
    pytest.mark.filterwarnings("ignore:Dynamo"),
    pytest.mark.filterwarnings("ignore:Detected that a leaf"),
]

INPUTS = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.activation = nn.Linear(4, 4), nn.Tanh()

    def forward(self, x):
        return self.activation(self.linear(x))


def is_noisy(function):
    return not torch.equal(function(INPUTS), function(INPUTS))


def test_blocks_that_are_compiled_one_by_one_have_noise_of_their_own():
    torch.compiler.reset()
    network = nn.Sequential(Block(), Block(), Block())
    lb.noisify(network, sigma=1.0, layers="1.activation", inputs=INPUTS)
    for block in network:
        block.compile(backend="eager")
    assert [is_noisy(block) for block in network] == [False, True, False]


def test_a_noisy_network_and_a_plain_copy_are_compiled_apart():
    torch.compiler.reset()
    plain = Block()
    noisy = lb.noisify(copy.deepcopy(plain), sigma=1.0, layers="activation", inputs=INPUTS)
    compiled = [torch.compile(network, backend="eager") for network in (noisy, plain)]
    assert [is_noisy(function) for function in compiled * 2] == [True, False, True, False]


class Functional(nn.Module):
    """Multiplies its own relu by 0, so that its output is noisy only if its part has noise."""

    def __init__(self, part):
        super().__init__()
        self.linear, self.part = nn.Linear(4, 4), part

    def forward(self, x):
        return self.part(self.linear(x) + 0 * functional.relu(self.linear(x)))


class FunctionalPart(Block):
    def forward(self, x):
        return functional.relu(self.linear(x))


@pytest.mark.parametrize(("part", "backend"), [(Block, "aot_eager"), (FunctionalPart, "eager")])
def test_functions_of_parts_do_not_get_the_noise_of_the_network(part, backend):
    torch.compiler.reset()
    model = lb.noisify(Functional(part()), sigma=1.0, layers="relu", inputs=INPUTS)
    assert not is_noisy(torch.compile(model, backend=backend))
    assert not is_noisy(model)


class Routed(nn.Module):
    """Rows take one of two experts, so that the compiler breaks the graph within the forward."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.router, self.experts = nn.Linear(4, 2), nn.ModuleList([Block(), FunctionalPart()])
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        h = torch.tanh(x)
        routes, out = self.router(h).argmax(1), torch.zeros_like(h)
        for number, expert in enumerate(self.experts):
            rows = (routes == number).nonzero()[:, 0]
            if len(rows):
                out[rows] = expert(h[rows])
        return self.last(out)


@pytest.mark.parametrize("layers", ["tanh", "experts.1.relu", ["tanh", "experts.*.*"]])
def test_a_network_that_breaks_the_graph_has_the_noise_of_the_uncompiled_one(layers):
    torch.compiler.reset()
    model = lb.noisify(Routed(), sigma=0.1, layers=layers, inputs=INPUTS)
    compiled = torch.compile(model, backend="aot_eager")
    for _ in range(2):  # the first pass compiles; the second runs the compiled code
        torch.manual_seed(1)
        expected = model(INPUTS)
        torch.manual_seed(1)
        # Rounding of three layers of at most four terms of size below 10, in float32.
        torch.testing.assert_close(compiled(INPUTS), expected, atol=1e-5, rtol=0)


class Recursive(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, times=2):
        self.signal = functional.relu(self.linear(x))
        return self(x, times - 1) if times else self.signal


def test_a_module_that_calls_itself_adds_its_noise_once_a_call():
    model = nn.Sequential(Recursive(), nn.Identity())
    inputs = torch.zeros(20_000, 4)
    lb.noisify(model, sigma=0.5, layers="0.relu@*", inputs=inputs)
    with lb.noise_off(model):
        signal = model(inputs)
    deviation = (model(inputs) - signal).std()
    # The sample deviation of n normal values has a standard error of sigma / sqrt(2 n).
    assert abs(deviation - 0.5) < 5 * 0.5 / (2 * inputs.numel()) ** 0.5


class Interrupted(Functional):
    interrupt = False

    def forward(self, x):
        h = functional.relu(self.linear(x))
        if self.interrupt:
            raise KeyboardInterrupt
        return self.part(h)


def test_the_pass_after_an_interrupted_one_has_its_noise_once():
    model = lb.noisify(Interrupted(nn.Linear(4, 2)), sigma=0.5, inputs=INPUTS)
    torch.manual_seed(1)
    expected = model(INPUTS)
    model.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        model(INPUTS)
    model.interrupt = False
    torch.manual_seed(1)
    assert torch.equal(model(INPUTS), expected)
    assert _len_torch_function_stack() == 0


def test_an_interrupted_measurement_leaves_no_function_mode():
    model = lb.noisify(Interrupted(nn.Linear(4, 2)), sigma=0.5, inputs=INPUTS)
    model.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        lb.layer_information(model, INPUTS, draws=2)
    assert _len_torch_function_stack() == 0


class Spelled(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear, self.last, self.function = nn.Linear(4, 4), nn.Linear(4, 2), function

    def forward(self, x):
        return self.last(self.function(self.linear(x)))


@pytest.mark.parametrize("function", [functional.tanh, functional.sigmoid, functional.hardswish, torch.relu_])
def test_functions_that_the_compiler_hides_are_refused(function):
    """Without the error, a compiled pass would have no noise."""
    torch.compiler.reset()
    model = lb.noisify(Spelled(function), sigma=0.5, inputs=INPUTS)
    assert is_noisy(model)
    with pytest.raises(lb.LayerSelectionError, match=r"got fewer calls of .* in a compiled pass of Spelled"):
        torch.compile(model, backend="eager")(INPUTS)


@pytest.mark.parametrize("function", [torch.tanh, torch.Tensor.tanh, torch.sigmoid, functional.relu])
def test_functions_that_the_compiler_does_not_hide_are_noisy_in_compiled_passes(function):
    torch.compiler.reset()
    model = lb.noisify(Spelled(function), sigma=0.5, inputs=INPUTS)
    assert is_noisy(torch.compile(model, backend="eager"))


class WithoutGradients(nn.Module):
    """Calls one of its two functions without gradients."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = torch.tanh(self.linear(x))
        with torch.no_grad():
            gate = torch.relu(h)
        return self.last(h * gate)


@pytest.mark.parametrize("layers", ["tanh", ["tanh", "relu"]])
def test_functions_without_gradients_have_noise_in_compiled_passes(layers):
    torch.compiler.reset()
    model = lb.noisify(WithoutGradients(), sigma=0.3, layers=layers, inputs=INPUTS)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    values = []
    for function in (model, compiled):
        torch.manual_seed(1)
        values.append(function(INPUTS))
    assert torch.equal(*values)  # the same operators in the same order
