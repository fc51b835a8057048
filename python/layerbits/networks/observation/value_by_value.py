"""`acts_value_by_value`: whether a module maps each value by itself, as an activation function does."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

# The least number of values that a module gets when it is probed.
_PROBED_VALUES = 64

# The largest relative difference that counts as rounding: bfloat16 rounds by 2^-9 in each of a few operations.
_ROUNDING = 1e-2


class _Forward(nn.Module):
    """Runs the forward method of a module without the hooks that the observed pass added to the module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.module.forward(values)
        return result


def acts_value_by_value(module: nn.Module, argument: object, output: object) -> bool:
    """Return whether a module maps each value by one function, which is not the identity.

    The result is False for modules of `torch.nn`, and for modules with children or buffers. `argument` and `output` are
    those of a call. Three passes are compared: of random values, of the same values in another order, and of values of
    which every other one is replaced. A function of several values, such as a normalization, maps the values that stay
    to other values in the second or the third pass. Parameters have random values, because a matrix that is the
    identity, or a vector of equal biases, acts value by value in that state alone.
    """
    # A module with children or buffers may treat all values alike only in its initial state.
    if type(module).__module__.startswith("torch.nn.") or (*module.children(), *module.buffers()):
        return False
    if not isinstance(argument, Tensor) or not isinstance(output, Tensor) or not output.is_floating_point():
        return False
    if argument.is_nested or output.is_nested or argument.is_quantized or argument.shape != output.shape:
        return False
    if output.is_meta:  # it has no values
        return False
    row_shape = argument.shape[1:]
    # With one row a statistic of the batch is not detectable; with few values, outputs may agree by chance.
    n_rows = max(2, -(-_PROBED_VALUES // max(1, row_shape.numel())))
    n_values, device = n_rows * row_shape.numel(), argument.device
    generator = torch.Generator().manual_seed(0)

    def random_values() -> Tensor:
        return torch.randn(n_values, generator=generator).to(device, argument.dtype)

    parameters = {  # positive ones, for a module that divides by them or takes logarithms
        f"module.{name}": (0.5 + torch.rand(parameter.shape, generator=generator)).to(parameter)
        for name, parameter in module.named_parameters()
    }
    forward = _Forward(module)

    def image(values: Tensor) -> Tensor:
        # A copy, because the module may act in place.
        mapped: Tensor = functional_call(forward, parameters, values.clone().reshape(n_rows, *row_shape))
        return mapped.double().reshape(n_values)

    points, replacements = random_values(), random_values()
    order = torch.randperm(n_values, generator=generator).to(device)
    stays = torch.arange(n_values, device=device) % 2 == 0
    try:
        mapped, mapped_in_order = image(points), image(points[order])
        mapped_with_replacements = image(torch.where(stays, points, replacements))
    except Exception:  # the module may refuse these values in any way; then it is no activation function
        return False
    return (
        torch.allclose(mapped[order], mapped_in_order, rtol=_ROUNDING)
        and torch.allclose(mapped[stays], mapped_with_replacements[stays], rtol=_ROUNDING)
        and not torch.allclose(mapped, points.double(), rtol=_ROUNDING)
    )
