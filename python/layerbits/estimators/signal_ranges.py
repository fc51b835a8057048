"""The range of the values of a layer, where its activation function bounds them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from layerbits.networks import DropoutNoise, LayerCall, Noise, own_hooks

# Length of the interval that holds all values: for modules by their exact type, because a subclass may change its
# output, and for functions by their name.
_MODULE_WIDTHS = {nn.Tanh: 2.0, nn.Sigmoid: 1.0, nn.Hardsigmoid: 1.0, nn.Softsign: 2.0, nn.ReLU6: 6.0, nn.Softmax: 1.0}
_FUNCTION_WIDTHS = {"tanh": 2.0, "sigmoid": 1.0, "hardsigmoid": 1.0, "softsign": 2.0, "relu6": 6.0}


def largest_distance(call: LayerCall, noise: Noise, dim: int) -> float:
    """Return an upper bound of the distance of any two whitened signals of a layer; infinite if none is known.

    Signals with a `DropoutNoise` are not whitened.

    Parameters
    ----------
    dim : int
        Number of units of the layer.
    """
    width = _width(call)
    if isinstance(noise, DropoutNoise) or not math.isfinite(width) or not isinstance(noise.scale, torch.Tensor):
        return width * math.sqrt(dim)
    if noise.scale.ndim == 1:
        scale = noise.scale if len(noise.scale) == dim else noise.scale.min().expand(dim)
        return width * float(torch.linalg.vector_norm(1 / scale.double()))
    # Row j is A^-1 e_j. If every |v_j| <= width, then |(A^-1 v)_i| <= width sum_j |(A^-1 e_j)_i|.
    inverse = noise.whiten(torch.eye(dim, dtype=torch.float64, device=noise.scale.device))
    return width * float(torch.linalg.vector_norm(inverse.abs().sum(0)))


def _width(call: LayerCall) -> float:
    """Return the length of an interval that holds all values of a layer; infinite if none is known."""
    if call.function:
        return _FUNCTION_WIDTHS.get(call.function, math.inf)
    module = call.module
    own = [*map(id, own_hooks(module))]
    hooks = [*module._forward_hooks.values(), *torch_module._global_forward_hooks.values()]
    if "forward" in vars(module) or any(id(hook) not in own for hook in hooks):
        return math.inf  # a hook, or a forward of the object itself, may change the output
    if type(module) is nn.Hardtanh:
        return float(module.max_val - module.min_val)
    return _MODULE_WIDTHS.get(type(module), math.inf)
