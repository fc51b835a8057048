"""The device and the dtype that the inputs of a network get, by its first floating-point parameter."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from layerbits.kernels import as_tensor
from layerbits.networks.inputs.batches import is_one_batch


def as_input(argument: Tensor | npt.NDArray[Any], model: nn.Module) -> Tensor:
    """Return a tensor unchanged, and an array as a tensor on the network's device, in its dtype if floating-point."""
    if isinstance(argument, Tensor):
        return argument
    tensor = as_tensor("inputs", argument)
    parameter = floating_point_parameter(model)
    if parameter is None:
        return tensor
    return tensor.to(parameter.device, parameter.dtype if tensor.is_floating_point() else tensor.dtype)


def loader_device(inputs: object, model: nn.Module) -> torch.device | None:
    """Return the device to which a pass moves the tensors; None if it does not move them.

    Tensors of one batch are not moved, nor are inputs of a network without floating-point parameters.
    """
    parameter = floating_point_parameter(model)
    return None if is_one_batch(inputs) or parameter is None else parameter.device


def floating_point_parameter(model: nn.Module) -> nn.Parameter | None:
    """Return the first floating-point parameter; None if there is none."""
    return next((parameter for parameter in model.parameters() if parameter.is_floating_point()), None)
