"""Functions that a forward pre-hook of the user calls are no layers: not observed, and without noise."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

from layerbits import LayerSelectionError, layer_information, noise_of, noisify

INPUTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))


class Network(nn.Module):
    """Returns tanh of a linear map; its pre-hooks call tanh too."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return torch.tanh(self.linear(x)) + 0


def squash(_, arguments):
    return (torch.tanh(arguments[0]),)


class Squash:
    def __call__(self, module, arguments):
        return squash(module, arguments)


class SquashModule(nn.Module):
    def forward(self, module, arguments):
        return squash(module, arguments)


HOOKS = {"function": squash, "partial": functools.partial(squash), "object": Squash(), "module": SquashModule()}


def with_hook(part, hook):
    model = Network()
    (model.linear if part == "linear" else model).register_forward_pre_hook(hook)
    return model


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
@pytest.mark.parametrize("part", ["network", "linear"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_function_of_a_pre_hook_has_no_noise(part, hook, order):
    if order == "before":
        model = noisify(with_hook(part, hook), sigma=0.3, inputs=INPUTS)
    else:
        model = noisify(Network(), sigma=0.3, inputs=INPUTS)
        (model.linear if part == "linear" else model).register_forward_pre_hook(hook)
    assert list(noise_of(model)) == ["tanh"]
    torch.manual_seed(1)
    noise = 0.3 * torch.randn(30, 4)
    torch.manual_seed(1)
    hidden = functional.linear(torch.tanh(INPUTS), model.linear.weight, model.linear.bias)
    torch.testing.assert_close(model(INPUTS), torch.tanh(hidden) + noise)


def test_measurement_adds_noise_at_the_function_of_forward_alone():
    table = layer_information(with_hook("network", squash), INPUTS, sigma=0.3)
    assert table.layers == ("tanh",)


@pytest.mark.parametrize("part", ["network", "linear"])
def test_compiled_pass_has_the_noise_of_forward_alone_or_is_refused(part):
    """Compiled code runs the pre-hook of a part within the forward of the network."""
    model = noisify(with_hook(part, squash), sigma=0.3, inputs=INPUTS)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager")
    if part == "linear":
        with pytest.raises(LayerSelectionError, match=r"^layers: got more calls of 'torch.tanh' in a compiled pass"):
            compiled(INPUTS)
    else:
        torch.manual_seed(1)
        expected = model(INPUTS)
        torch.manual_seed(1)
        assert torch.equal(compiled(INPUTS), expected)
    torch.compiler.reset()


def test_layers_behind_an_operation_that_returns_and_writes_depend_on_the_input():
    """RReLU writes its slopes into an argument, and a dead ReLU returns 0 for all of these inputs."""
    model = nn.Sequential(nn.Linear(4, 8), nn.RReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    nn.init.constant_(model[2].bias, -100)
    assert list(noise_of(noisify(model, sigma=0.1, inputs=INPUTS))) == ["1", "3"]
