"""Compiled passes run the functions of forward as often as observed; other calls would get noise, and are refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils import parametrize

from layerbits import LayerSelectionError, noisify

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # from torch's own code
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _compile_anew():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.scale = nn.Linear(4, 4), nn.Linear(4, 2), nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.last(torch.relu(self.first(x) * self.scale))


class Relu(nn.Module):
    def forward(self, x):
        return torch.relu(x)


def replace_part(model):
    model.first = nn.Sequential(model.first, Relu())


def pre_hook(_, args):
    return (torch.relu(args[0]),)


CHANGES = {
    "hook of a part": lambda model: model.first.register_forward_hook(lambda *args: torch.relu(args[-1])),
    "pre-hook": lambda model: model.register_forward_pre_hook(pre_hook),
    "pre-hook of a part": lambda model: model.first.register_forward_pre_hook(pre_hook, prepend=True),
    "replaced part": replace_part,
    "parametrization": lambda model: parametrize.register_parametrization(model, "scale", Relu()),
}


def values(function):
    torch.manual_seed(3)
    return function(INPUTS)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_function_outside_of_forward_is_refused_in_compiled_code(change):
    model = noisify(Network(), sigma=0.5, inputs=INPUTS)
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(values(compiled), values(model))
    change(model)
    torch.compiler.reset()
    with pytest.raises(LayerSelectionError, match=r"^layers: got more calls of 'torch.relu' in a compiled pass of "):
        compiled(INPUTS)


@pytest.mark.parametrize("change", [CHANGES["hook of a part"], replace_part], ids=["hook", "part"])
def test_network_that_is_noisified_again_runs_compiled(change):
    model = noisify(Network(), sigma=0.5, inputs=INPUTS)
    change(model)
    noisify(model, sigma=0.5, inputs=INPUTS)
    assert torch.equal(values(torch.compile(model, backend="eager")), values(model))


@pytest.mark.filterwarnings("ignore:Using `torch.compile.module.` when there are global hooks")
def test_function_of_a_global_pre_hook_is_refused_in_compiled_code():
    model = noisify(Network(), sigma=0.5, inputs=INPUTS)
    handle = register_module_forward_pre_hook(lambda part, args: pre_hook(part, args) if part is model.last else None)
    with handle, pytest.raises(LayerSelectionError, match=r"^layers: got more calls of 'torch.relu'"):
        torch.compile(model, backend="eager")(INPUTS)


class Repeated(nn.Module):
    """Calls a part that applies relu as often as an argument says."""

    def __init__(self, *times):
        super().__init__()
        torch.manual_seed(0)
        self.part, self.last, self.times = Part(), nn.Linear(4, 2), times

    def forward(self, x):
        for times in self.times:
            x = self.part(x, times)
        return self.last(x)


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, times):
        for _ in range(times):
            x = torch.relu(self.linear(x))
        return x


def test_calls_of_a_module_may_differ_as_observed():
    model = noisify(Repeated(2, 0, 3), sigma=0.5, inputs=INPUTS)
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(values(compiled), values(model))


@pytest.mark.parametrize(("times", "kind"), [((2, 4), "more"), ((2, 1), "fewer")])
def test_numbers_of_calls_beyond_the_observed_are_refused(times, kind):
    model = noisify(Repeated(2, 3), sigma=0.5, inputs=INPUTS)
    model.times = times
    with pytest.raises(
        LayerSelectionError, match=rf"^layers: got {kind} calls of 'torch.relu' in a compiled pass of Part"
    ):
        torch.compile(model, backend="eager")(INPUTS)


class Tanh(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear, self.last, self.function = nn.Linear(4, 4), nn.Linear(4, 4), function

    def forward(self, x):
        return self.last(self.function(self.linear(x)))


@pytest.mark.parametrize("hook_function", [torch.tanh, torch.Tensor.tanh, functional.tanh])
@pytest.mark.parametrize("function", [torch.tanh, torch.Tensor.tanh, functional.tanh])
def test_function_of_a_hook_does_not_count_as_the_same_of_forward_that_the_compiler_hides(function, hook_function):
    """Without the error, the noise of forward's tanh would move to that of the hook."""
    model = noisify(Tanh(function), sigma=0.5, layers="tanh", inputs=INPUTS)
    compiled = torch.compile(model, backend="eager")
    model.linear.register_forward_pre_hook(lambda _, args: (hook_function(args[0]),), prepend=True)
    if function is not functional.tanh and hook_function is functional.tanh:  # the compiler hides that of the hook
        assert torch.equal(values(compiled), values(model))
        return
    with pytest.raises(LayerSelectionError, match=r"^layers: got (more|fewer) calls of '.*tanh' in a compiled pass"):
        compiled(INPUTS)
