"""`HookBehindNoise`: a hook of the user that runs after the noise of a layer was added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from layerbits.networks.execution.output_tensor import all_tensors
from layerbits.networks.observation.call_recorders import memory_version
from layerbits.networks.passes.measured_network import MeasuredNetwork


class HookBehindNoise:
    """Calls a hook of the user that runs after the noise of a layer, and notes whether the hook changes the output.

    A hook changes the output if it returns other values, or writes into the output. The first pass is checked.

    Parameters
    ----------
    network : MeasuredNetwork
        The network, whose `changed_behind_noise` gets the names of the layers that a hook changes.
    called : str
        Name of the layer's module, or of the function with the name of the module that calls it.
    hook : callable
        The hook of the user, which this object replaces.
    """

    def __init__(self, network: MeasuredNetwork, called: str, hook: Callable[..., object]) -> None:
        self.network, self.called, self.hook = network, called, hook

    def __call__(self, *args: Any) -> object:
        """Return the result of the hook."""
        *_, output = args
        calls = self.network.calls
        if self.network._channel is not None or not calls or calls[-1].called != self.called:
            return self.hook(*args)
        before = list(all_tensors(output))
        versions = list(map(memory_version, before))
        result = self.hook(*args)
        after = before if result is None else list(all_tensors(result))
        is_same = len(before) == len(after) and all(map(_are_equal, before, after))
        if not is_same or versions != list(map(memory_version, before)):
            self.network.changed_behind_noise.append(calls[-1].name)
        return result


def _are_equal(tensor: Tensor, other: Tensor) -> bool:
    if tensor is other:
        return True
    is_comparable = not tensor.is_nested and not other.is_nested
    return is_comparable and (tensor.dtype, tensor.device) == (other.dtype, other.device) and torch.equal(tensor, other)
