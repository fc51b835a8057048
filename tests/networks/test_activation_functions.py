"""Activation functions by default: modules of torch, and modules without parameters that act value by value."""

import math
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from layerbits import LayerSelectionError, layers, noisify

INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square()


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class SquareInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square_()


class Swish(nn.Module):
    """Has a learnt parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)


class RMSNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class LayerNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[1:])


class BatchNorm(nn.Module):
    """Treats all values alike in its initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("scale", torch.full((4,), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(-1)


class Dropout(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, self.training)


class AlwaysDropout(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, training=True)


class Permuted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(-1)


class WithPosition(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[-1])


class FirstHalf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :2].tanh(), x[..., 2:]], -1)


class Cumulative(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(-1)


class Centered(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Cast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.double()


class FirstRows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:6].tanh()


class RefusingLargeValues(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.abs().max() > 1:
            raise ValueError("out of range")
        return x.square()


class Gate(nn.Module):
    """Needs a second argument."""

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * gate


def noisy_by_default(module, inputs=INPUTS, before=nn.Identity):
    """Return the layers to which `noisify` adds noise by default: "1" is the module, "2" a tanh behind it."""
    model = nn.Sequential(before(), module, nn.Tanh(), nn.Flatten(), nn.LazyLinear(2, dtype=inputs.dtype))
    model(inputs.clone())
    return layers(noisify(model, sigma=1.0, inputs=inputs), inputs).noisy


@pytest.mark.parametrize(
    "name",
    [
        "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish",
        "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
    ],
)  # fmt: skip
def test_activation_function_of_torch_is_found(name):
    assert noisy_by_default(getattr(nn, name)()) == ("1", "2")


@pytest.mark.parametrize("module", [Square(), QuickGELU(), SquareInPlace()], ids=lambda module: type(module).__name__)
def test_module_that_acts_value_by_value_is_found(module):
    assert noisy_by_default(module, before=lambda: nn.Linear(4, 4)) == ("1", "2")


@pytest.mark.parametrize("shape", [(3, 4), (3, 1), (3, 2, 4), (3, 2, 5, 5)], ids=str)
def test_module_that_acts_value_by_value_is_found_at_any_shape(shape):
    assert noisy_by_default(Square(), torch.linspace(-1, 1, math.prod(shape)).reshape(shape)) == ("1", "2")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_module_that_acts_value_by_value_is_found_in_any_precision(dtype):
    assert noisy_by_default(QuickGELU(), INPUTS.to(dtype)) == ("1", "2")


@pytest.mark.parametrize(
    "module",
    [
        nn.Identity(), nn.Dropout(), nn.LayerNorm(4), nn.RMSNorm(4), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(4, 4),
        RMSNorm(), LayerNorm(), BatchNorm(), Softmax(), Dropout(), AlwaysDropout(), Permuted(), WithPosition(),
        FirstHalf(), Cumulative(), Centered(), FirstRows(), RefusingLargeValues(), nn.Sequential(Permuted()),
    ],
    ids=lambda module: f"{type(module).__module__.split('.')[0]} {type(module).__name__}",
)  # fmt: skip
def test_module_that_is_no_activation_function_is_not_found(module):
    names = noisy_by_default(module)  # a function that the module calls may be a layer of its own
    assert "1" not in names
    assert names[-1] == "2"


def test_cast_is_no_activation_function():
    model = nn.Sequential(nn.Linear(4, 3), Cast(), nn.Tanh(), nn.Linear(3, 2).double())
    assert layers(noisify(model, sigma=1.0, inputs=INPUTS), INPUTS).noisy == ("2",)


def test_attention_is_no_activation_function():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.act, self.head = nn.MultiheadAttention(4, 1), nn.GELU(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(self.attention(x, x, x)[0]))

    assert layers(noisify(Attending(), sigma=0.1, inputs=INPUTS), INPUTS).noisy == ("act",)


def test_module_with_two_arguments_is_no_activation_function():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.act, self.head = Gate(), nn.Tanh(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(self.gate(x, x)))

    assert layers(noisify(Gated(), sigma=0.1, inputs=INPUTS), INPUTS).noisy == ("act",)


def test_activation_function_that_gets_its_argument_by_name_is_found():
    class ByName(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.act, self.head = nn.Linear(4, 3), Square(), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(x=self.linear(x)))

    assert layers(noisify(ByName(), sigma=0.1, inputs=INPUTS), INPUTS).noisy == ("act",)


def test_activation_function_with_learnt_parameters_is_left_out_with_a_warning():
    model = nn.Sequential(nn.Linear(4, 3), Swish(), nn.Tanh(), nn.Linear(3, 2))
    with pytest.warns(UserWarning, match=r"^layers: None leaves out 1, which acts value by value"):
        noisify(model, sigma=0.1, inputs=INPUTS)
    assert layers(model, INPUTS).noisy == ("2",)


def test_activation_function_with_learnt_parameters_can_be_chosen_without_a_warning():
    model = nn.Sequential(nn.Linear(4, 3), Swish(), nn.Tanh(), nn.Linear(3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noisify(model, sigma=0.1, layers=[Swish, nn.Tanh], inputs=INPUTS)
    assert layers(model, INPUTS).noisy == ("1", "2")


def test_refusal_names_the_activation_function_with_learnt_parameters():
    model = nn.Sequential(nn.Linear(4, 3), Swish(), nn.Linear(3, 2))
    with pytest.raises(LayerSelectionError, match=r"none without parameters \(with them, 1\); name the layers"):
        noisify(model, sigma=0.1, inputs=INPUTS)


def test_probes_do_not_run_the_hooks_of_a_module():
    model, calls = nn.Sequential(nn.Linear(4, 3), Square(), nn.Linear(3, 2)), []
    model[1].register_forward_hook(lambda module, args, output: calls.append(len(output)))
    layers(model, INPUTS)
    assert calls == [6]


class Weighted(nn.Module):
    """Calls a function between a matrix, biases and factors of its own."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight, self.bias, self.scale = nn.Parameter(weight), nn.Parameter(torch.zeros(4)), nn.Parameter(weight[0])

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x @ self.weight + self.bias) * self.scale


class Biased(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.bias)


@pytest.mark.parametrize(
    "module", [Weighted(torch.eye(4)), Weighted(torch.zeros(4, 4)), Weighted(torch.ones(4, 4)), Biased()]
)
def test_functions_of_a_module_with_weights_are_layers_whatever_their_values(module):
    assert noisy_by_default(module) == ("1.relu", "2")


def test_function_that_is_replaced_by_a_wrapper_keeps_its_noise(monkeypatch):
    """A profiler may wrap a function to count its calls; torch then shows the wrapper to function modes."""
    relu, calls = functional.relu, []

    def counted(x: Tensor, inplace: bool = False) -> Tensor:
        calls.append(x)
        return relu(x, inplace)

    model = noisify(nn.Sequential(Weighted(torch.eye(4)), nn.Linear(4, 2)), sigma=1.0, inputs=INPUTS)
    torch.manual_seed(0)
    expected = model(INPUTS)
    monkeypatch.setattr(functional, "relu", counted)
    for _ in range(2):
        torch.manual_seed(0)
        assert torch.equal(model(INPUTS), expected)
        noisify(model, sigma=1.0, inputs=INPUTS, layers=counted)
    assert calls
