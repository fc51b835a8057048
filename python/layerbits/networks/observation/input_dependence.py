"""Whether a tensor of an observed pass depends on the input of the network.

A layer that does not depend on the input, such as a network of relative positions that makes a bias of attention,
carries no information about the input. Where values of the input have left torch, all later tensors count as dependent.
A second pass with other inputs must confirm that a layer does not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from layerbits.networks.execution.output_tensor import all_tensors, has_tensors_only
from layerbits.networks.execution.shadow import copy_arguments
from layerbits.networks.observation.sources import INPUT, SourceTracking

# Functions through which values or their memory leave torch. Numbers leave through operations, which the mode
# intercepts. Torch prints a tensor, and calls the functions of `apply_` and `map_`, outside of every mode.
VALUE_READERS = {
    Tensor.apply_,
    Tensor.map_,
    Tensor.map2_,
    Tensor.__repr__,
    Tensor.__format__,
    Tensor.numpy,
    Tensor.tolist,
    Tensor.__array__,
    Tensor.__deepcopy__,
    Tensor.__dlpack__,
    Tensor.__cuda_array_interface__.__get__,
    Tensor.__reduce_ex__,
    Tensor.data_ptr,
    Tensor.storage,
    Tensor.untyped_storage,
    Tensor._typed_storage,
}

# Functions whose C++ code reads the sizes of the results in a tensor, which no mode sees.
_SPLITTERS = {torch.tensor_split, Tensor.tensor_split}

# Functions that make a tensor of numbers; torch reads tensors in a list of numbers outside of every mode.
_TENSOR_MAKERS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}


def values_read(function: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
    """Return the arguments of a function of torch whose values or memory leave torch; an empty tuple if none do."""
    if function in VALUE_READERS:
        return args, kwargs
    if function in _SPLITTERS:
        return args[1:], kwargs
    if function in _TENSOR_MAKERS:
        return [argument for argument in (*args, *kwargs.values()) if isinstance(argument, list | tuple)]
    return ()


class InputDependence(SourceTracking):  # type: ignore[no-untyped-call]
    """Tracks the tensors of a pass that depend on the arguments of the network."""

    def __init__(self, arguments: object) -> None:
        super().__init__()
        if not has_tensors_only(arguments):
            self.lost |= {INPUT}
        for tensor in all_tensors(arguments):
            self.begin(tensor, frozenset({INPUT}))

    def depends(self, tensor: Tensor | None) -> bool:
        """Return whether a tensor depends on the input, as far as is known; True for None."""
        return INPUT in self.sources(tensor)


def other_values(arguments: Any) -> tuple[Any, bool]:
    """Return a copy of the arguments of a network with other values, and whether any value differs.

    Floating-point tensors get normal noise of the size of their values; integers, which may be indices, are reversed.
    """
    changed, generator = copy_arguments(arguments), torch.Generator().manual_seed(0)
    differs = False
    for tensor in all_tensors(changed):
        before = tensor.clone()
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator).to(tensor)
            tensor.add_(noise * (1 + tensor.abs().mean()))
        elif tensor.dtype != torch.bool:
            tensor.copy_(tensor.flip(tuple(range(tensor.ndim))))
        differs = differs or not torch.equal(before, tensor)
    return changed, differs
