"""`PassInputs`: a network's inputs as tensors that share their first axis, and their labels; made by `read_inputs`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import Dataset

from layerbits._base import Integers, listed, shown_repr
from layerbits.networks.execution.arguments import REMEDY_FOR_LISTS
from layerbits.networks.inputs.data_frames import frame_values, is_frame
from layerbits.networks.inputs.placement import as_input
from layerbits.networks.inputs.tensor_checks import check_leaves, check_tensors

# The forms of the arguments `inputs` and `labels` that `read_inputs` takes; data frames and strings are iterables.
Inputs = Tensor | Dataset[Any] | Iterable[Any]
Labels = Tensor | Iterable[Any] | int | Callable[[Any], Any]


class _TensorLeaf:
    """The placeholder of a tensor in `PassInputs.constants`."""

    def __repr__(self) -> str:
        # Without an address, because a monitor compares hashes of this text from two processes.
        return "a tensor"


_TENSOR = _TensorLeaf()

# Types of arguments that are the same in every pass.
_CONSTANTS = (type(None), bool, int, float, str, torch.dtype, torch.device)


@dataclasses.dataclass(frozen=True)
class PassInputs:
    """The inputs of a network, made by `read_inputs`.

    Attributes
    ----------
    tensors : tuple of Tensor of shape (n, ...)
        The tensors among the arguments, in the order of the arguments.
    structure : TreeSpec
        Structure of the positional and keyword arguments.
    constants : tuple
        The flattened arguments, with a placeholder for each tensor.
    labels : mapping of str to integer array of shape (n,)
        Class numbers by the name of the label set; ``"Y"`` for labels that are no mapping, empty without labels.
    are_arrays : bool
        Whether the first tensor came from an array or a data frame.
    device : torch.device, optional
        Device to which the tensors of a pass are moved; by default they are not moved.
    from_frames : tuple of bool
        Whether each tensor came from a data frame.
    """

    tensors: tuple[Tensor, ...]
    structure: pytree.TreeSpec
    constants: tuple[object, ...]
    labels: Mapping[str, Integers] = dataclasses.field(default_factory=dict)
    are_arrays: bool = False
    device: torch.device | None = None
    from_frames: tuple[bool, ...] = ()

    def __len__(self) -> int:
        """Return the number of inputs, n."""
        return len(self.tensors[0])

    @property
    def argument_names(self) -> list[str]:
        """The position or the name of each argument, with the path to the item inside it."""
        args, kwargs = pytree.tree_unflatten(list(range(len(self.constants))), self.structure)
        paths = [*pytree.tree_flatten_with_path(args)[0], *pytree.tree_flatten_with_path(kwargs)[0]]
        return [pytree.keystr(path) for path, _ in paths]

    def arguments(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and keyword arguments of a call with `tensors`, of shape (rows, ...)."""
        tensors_on_device = (tensor if self.device is None else tensor.to(self.device) for tensor in tensors)
        leaves = [next(tensors_on_device) if constant is _TENSOR else constant for constant in self.constants]
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        return args, kwargs


def inputs_of_batch(batch: Any, model: nn.Module, remedy: str) -> PassInputs:
    """Return the arguments in a batch without labels; a message on a tensor of wrong shape ends with the remedy.

    Raises
    ------
    TypeError, ValueError
        As `read_inputs`.
    """
    check_leaves(batch)
    if isinstance(batch, Mapping):
        args, kwargs = (), dict(batch.items())
    else:
        args, kwargs = tuple(batch) if isinstance(batch, tuple | list) else (batch,), {}
    leaves, structure = pytree.tree_flatten((args, kwargs))
    from_frames = [is_frame(leaf) for leaf in leaves if is_frame(leaf) or isinstance(leaf, Tensor | np.ndarray)]
    leaves = [frame_values(leaf) if is_frame(leaf) else leaf for leaf in leaves]
    arrays = [leaf for leaf in leaves if isinstance(leaf, Tensor | np.ndarray)]
    constants = tuple(_TENSOR if isinstance(leaf, Tensor | np.ndarray) else leaf for leaf in leaves)
    for constant in constants:
        if constant is not _TENSOR and not isinstance(constant, _CONSTANTS):
            raise TypeError(
                f"inputs: got {type(constant).__name__} among the arguments, wanted tensors, arrays, numbers, "
                "strings or None" + "; convert it by .to_numpy()" * hasattr(constant, "to_numpy")
            )
    if not leaves:
        raise TypeError(
            f"inputs: got an empty {type(batch).__name__}, wanted a tensor or an array of shape (n, ...) among the "
            "arguments; pass at least one input"
        )
    if not arrays:
        got = type(batch).__name__
        if leaves[0] is not batch:
            got += f" of {type(leaves[0]).__name__}"
        rows = f"; {REMEDY_FOR_LISTS}" if isinstance(batch, Mapping) else ""
        raise TypeError(
            f"inputs: got {got}, wanted a tensor or an array of shape (n, ...) among the arguments; convert lists "
            f'with torch.tensor; a tokenizer returns tensors with return_tensors="pt"{rows}'
        )
    tensors = tuple(as_input(leaf, model) for leaf in arrays)
    check_tensors(tensors, remedy)
    return PassInputs(
        tensors, structure, constants, are_arrays=isinstance(arrays[0], np.ndarray), from_frames=tuple(from_frames)
    )


def check_same_form(first: PassInputs, other: PassInputs) -> None:
    """Raise a ValueError unless two batches can be rows of the same inputs."""
    if first.structure != other.structure:
        raise ValueError(
            f"inputs: got batches with the arguments {listed(first.argument_names)} and "
            f"{listed(other.argument_names)}, wanted the same in every batch"
        )
    if first.constants != other.constants:
        constants = zip(first.argument_names, first.constants, other.constants, strict=True)
        name, constant, other_constant = next(values for values in constants if values[1] != values[2])
        raise ValueError(
            f"inputs: got batches in which the argument {name} is {shown_repr(constant)} and "
            f"{shown_repr(other_constant)}, wanted tensors, or one value in every batch; leave it out"
        )
    for left, right in zip(first.tensors, other.tensors, strict=True):
        if left.shape[1:] != right.shape[1:] or left.dtype != right.dtype:
            raise ValueError(
                f"inputs: got batches of {left.dtype} and shape {tuple(left.shape)}, and of {right.dtype} and shape "
                f"{tuple(right.shape)}, wanted rows of one dtype and shape; pad all rows to one length, with a mask; a "
                "list holds batches, a tuple the arguments of one pass"
            )
