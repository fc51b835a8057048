"""`acts_value_by_value`: whether a module maps each value by itself, as an activation function does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The least number of values that a module gets when it is probed.
_PROBED_VALUES = 64


def acts_value_by_value(module: nn.Module, argument: object, output: object) -> bool:
    """Return whether a module that is not of torch.nn maps each value by one function that is not the identity.

    `argument` and `output` are those of a call. Three passes decide: of random values, of the same values in another
    order, and of values of which every other one is replaced. A function of several values, such as a normalization,
    fails one of them.
    """
    # A module with buffers or parts may treat all values alike only in its initial state.
    if type(module).__module__.startswith("torch.nn.") or any(True for _ in (*module.children(), *module.buffers())):
        return False
    if not isinstance(argument, Tensor) or not isinstance(output, Tensor) or not output.is_floating_point():
        return False
    if argument.is_nested or output.is_nested or argument.shape != output.shape:
        return False
    row = argument.shape[1:]
    # With one row a statistic of the batch is not detectable; with few values, outputs may agree by chance.
    n_rows = max(2, -(-_PROBED_VALUES // max(1, row.numel())))
    n_values, device = n_rows * row.numel(), argument.device
    generator = torch.Generator().manual_seed(0)

    def values() -> Tensor:
        return torch.randn(n_values, generator=generator).to(device, argument.dtype)

    def image(values: Tensor) -> Tensor:
        # A copy, because the module may act in place; forward, because a call would run the hooks of the observed pass.
        mapped: Tensor = module.forward(values.clone().reshape(n_rows, *row))
        return mapped.double().reshape(n_values)

    points, others = values(), values()
    order = torch.randperm(n_values, generator=generator).to(device)
    kept = torch.arange(n_values, device=device) % 2 == 0
    try:
        mapped, in_order, replaced = image(points), image(points[order]), image(torch.where(kept, points, others))
    except Exception:  # the module may refuse these values in any way; then it is no activation function
        return False
    return (
        torch.allclose(mapped[order], in_order, rtol=1e-2)
        and torch.allclose(mapped[kept], replaced[kept], rtol=1e-2)
        and not torch.allclose(mapped, points.double(), rtol=1e-2)
    )
