"""Trial passes: whether a network runs with arguments; the first measured pass reports its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layerbits.networks.execution.arguments import is_interrupt
from layerbits.networks.execution.global_generators import global_states_restored
from layerbits.networks.execution.originals import originals_protected
from layerbits.networks.execution.own_hooks import delete_own_hooks
from layerbits.networks.execution.shadow import shadow, unwrapped
from layerbits.networks.inputs.placement import as_input, floating_point_parameter

# Number of rows of a pass of `runs`: labels of as many rows as another argument has columns may broadcast.
_ROWS = 5


def trial_error(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Exception | None:
    """Run a pass of a shadow of the network without noise, and return its error; None if it has none."""
    root = unwrapped(model)
    copied = shadow(root, keeps_weights=False)
    delete_own_hooks(copied)
    with originals_protected(root), torch.no_grad(), global_states_restored():
        try:
            copied(*args, **kwargs)
        except Exception as error:  # a network may raise any error
            if is_interrupt(error):
                raise KeyboardInterrupt from error
            return error
    return None


def runs(model: nn.Module, arguments: Sequence[object]) -> bool:
    """Return whether a network runs with the first rows of positional arguments, all of them tensors or arrays.

    The rows are moved to the network's device, as a pass moves the tensors of a loader.
    """
    if not all(isinstance(argument, Tensor | np.ndarray) for argument in arguments):
        return False
    if any(argument.ndim == 0 for argument in arguments):  # type: ignore[attr-defined]
        return False
    parameter = floating_point_parameter(model)
    device = None if parameter is None else parameter.device
    rows = (as_input(argument[:_ROWS], model).to(device, copy=True) for argument in arguments)  # type: ignore[index]
    return trial_error(model, tuple(rows), {}) is None
