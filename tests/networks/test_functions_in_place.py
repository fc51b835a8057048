"""Noise of activation functions that change their argument: the same as that of functions that do not."""

import functools
import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from layerbits import noise_off, noisify
from layerbits.networks.observation.activation_functions import FUNCTIONS

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
ARGUMENTS = {"threshold": (0.1, 0.2)}


def functions_and_twins():
    """Return each activation function that changes its argument, and its twin that does not, by name."""
    pairs = {}
    for name in {function.name for function in FUNCTIONS.values()}:
        plain, arguments = getattr(functional, name), ARGUMENTS.get(name, ())
        twin = functools.partial(call, plain, arguments)
        if inspect.isfunction(plain) and "inplace" in inspect.signature(plain).parameters:
            pairs[name] = functools.partial(call, plain, arguments, inplace=True), twin
        if hasattr(functional, f"{name}_"):
            pairs[f"{name}_"] = functools.partial(call, getattr(functional, f"{name}_"), arguments), twin
    return dict(sorted(pairs.items()))


def call(function, arguments, x, **options):
    return function(x, *arguments, **options)


class Network(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.body, self.head = function, nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.function(self.body(x)))


def run(function, pass_of):
    """Return the output of a noisy pass and the gradients of the parameters."""
    torch.manual_seed(0)
    model = noisify(Network(function), sigma=0.3, inputs=INPUTS)
    torch.manual_seed(1)
    output = pass_of(model, INPUTS.clone().requires_grad_())
    output.square().sum().backward()
    return [output.detach(), *(parameter.grad for parameter in model.parameters())]


def without_noise(model, x):
    with noise_off(model):
        return model(x)


PASSES = {
    "plain": lambda model, x: model(x),
    "without noise": without_noise,
    "checkpointed": lambda model, x: checkpoint(model, x, use_reentrant=False),
    "reentrant": lambda model, x: checkpoint(model, x, use_reentrant=True),
}


@pytest.mark.parametrize("pass_of", PASSES.values(), ids=PASSES)
@pytest.mark.parametrize(("function", "twin"), functions_and_twins().values(), ids=functions_and_twins())
def test_output_and_gradients_are_those_of_the_function_out_of_place(function, twin, pass_of):
    """The backward pass of most of these functions needs their argument without noise."""
    expected = run(twin, PASSES["without noise" if pass_of is without_noise else "plain"])
    assert all(torch.equal(*pair) for pair in zip(run(function, pass_of), expected, strict=True))
