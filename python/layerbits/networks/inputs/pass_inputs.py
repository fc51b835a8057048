"""The inputs of a network as tensors that share their first axis, their labels, and how a call takes them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree
from torch.utils.data import Dataset

from layerbits._base import Integers
from layerbits.kernels import as_tensor
from layerbits.networks.execution.arguments import MAX_MEMORY, check_module
from layerbits.networks.inputs.batches import (
    as_array,
    batches_of,
    find_labels,
    finds_labels,
    is_one_batch,
    without_items,
)
from layerbits.networks.inputs.kept_rows import KeptRows, RandomSubset
from layerbits.statistics import class_numbers, label_array

# The forms of the arguments `inputs` and `labels` that `read_inputs` takes; data frames and strings are iterables.
Inputs = Tensor | Dataset[Any] | Iterable[Any]
Labels = Tensor | Iterable[Any] | int | Callable[[Any], Any]

# Name of the label set of labels that are no mapping.
_Y = "Y"


class _TensorLeaf:
    """Stands for a tensor among the constants."""

    def __repr__(self) -> str:
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
        The arguments, with a placeholder for each tensor.
    labels : mapping of str to integer array of shape (n,)
        Class numbers by the name of the label set; ``"Y"`` for labels that are no mapping, empty without labels.
    are_arrays : bool
        Whether the first tensor came from an array.
    device : torch.device, optional
        Device to which the tensors of a pass are moved.
    """

    tensors: tuple[Tensor, ...]
    structure: pytree.TreeSpec
    constants: tuple[object, ...]
    labels: Mapping[str, Integers] = dataclasses.field(default_factory=dict)
    are_arrays: bool = False
    device: torch.device | None = None

    def __len__(self) -> int:
        """Return the number of inputs, n."""
        return len(self.tensors[0])

    def arguments(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and keyword arguments of a call, with tensors (rows, ...) in place of `tensors`."""
        remaining = (tensor if self.device is None else tensor.to(self.device) for tensor in tensors)
        leaves = [next(remaining) if constant is _TENSOR else constant for constant in self.constants]
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        return args, kwargs


def read_inputs(
    inputs: object,
    model: nn.Module,
    labels: object = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    max_memory: int = MAX_MEMORY,
) -> PassInputs:
    """Read all inputs, and the labels that belong to them.

    Parameters
    ----------
    inputs : object
        A tensor, array or data frame of shape (n, ...); a tuple of positional arguments; a mapping of arguments by
        name; a data set, a loader, a list or another iterable of batches, each of one of these forms. Arguments are
        tensors, arrays, and tuples, lists and dicts of them; None, numbers and strings are the same in every pass.
    model : torch.nn.Module
        Arrays are moved to the device of its parameters, and floating-point arrays to their dtype.
    labels : object
        Labels of the inputs as in `class_numbers`; or a key, position or function that finds them in a batch, and then
        they are no argument; or a mapping of names to these.
    limit : int, optional
        Number of rows, chosen at random by `seed`; by default all.
    max_memory : int
        Largest number of bytes of batches that are kept in memory; if there are more, the rows are kept in a temporary
        file. A random subset is kept in memory.

    Raises
    ------
    TypeError, ValueError
        `model` is not a module; inputs are of another type, differ in their number of rows, are empty, or hold NaN;
        batches differ in their shapes or constants; labels are not found.
    OSError
        A temporary file cannot be written.
    """
    check_module(model)
    reader = _Reader(model, labels, RandomSubset(limit, seed), math.inf if is_one_batch(inputs) else max_memory)
    for batch in batches_of(inputs):
        reader.add(batch)
    return reader.result(_loader_device(inputs, model))


def first_arguments(inputs: object, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments of a pass of the inputs, or of their first batch.

    Raises
    ------
    TypeError, ValueError
        As `read_inputs`.
    """
    check_module(model)
    reader = _Reader(model, None, RandomSubset(None, 0), math.inf)
    for batch in itertools.islice(batches_of(inputs), 1):
        reader.add(batch)
    first = reader.result(_loader_device(inputs, model))
    return first.arguments(first.tensors)


def _loader_device(inputs: object, model: nn.Module) -> torch.device | None:
    """Return the device to which the tensors of a loader are moved; None for other inputs, which are not moved."""
    parameter = _floating_point_parameter(model)
    return None if is_one_batch(inputs) or parameter is None else parameter.device


class _Reader:
    """Reads the batches of the inputs of a network."""

    def __init__(self, model: nn.Module, labels: object, subset: RandomSubset, max_memory: float) -> None:
        self.model = model
        self.subset = subset
        self.max_memory = max_memory
        self.labels = dict(labels) if isinstance(labels, Mapping) else {} if labels is None else {_Y: labels}
        if not all(isinstance(name, str) and name for name in self.labels):
            raise TypeError(f"labels: got a mapping with keys {list(self.labels)}, wanted names of label sets")
        self.found: dict[str, list[npt.NDArray[Any]]] = {
            name: [] for name, value in self.labels.items() if finds_labels(value)
        }
        self.first: PassInputs | None = None  # the first batch
        self.kept: list[KeptRows] = []  # the rows of each tensor among the arguments

    def add(self, batch: object) -> None:
        """Add the rows of a batch."""
        keys: list[object] = []
        for name, label_parts in self.found.items():
            found_keys, found = find_labels(batch, self.labels[name])
            keys += found_keys
            label_parts.append(label_array(found))
        inputs = self._arguments(without_items(batch, keys))
        if self.first is None:
            self.first, self.kept = inputs, [KeptRows() for _ in inputs.tensors]
        _check_same_form(self.first, inputs)
        rows = self.subset.add(len(inputs))
        for kept, tensor in zip(self.kept, inputs.tensors, strict=True):
            if rows is None:
                kept.add(tensor)
            else:
                kept.replace(tensor, rows)
        if rows is None and sum(kept.nbytes for kept in self.kept) > self.max_memory:
            for kept in self.kept:
                kept.move_to_file()

    def result(self, device: torch.device | None) -> PassInputs:
        """Return the inputs and labels of all batches."""
        if self.first is None:
            raise ValueError("inputs: got no batch, wanted at least one; a generator can be read once only")
        labels = {
            name: np.concatenate(self.found[name]) if name in self.found else value
            for name, value in self.labels.items()
        }
        rows = slice(None) if self.subset.limit is None else self.subset.rows
        tensors = tuple(kept.tensor() for kept in self.kept)
        return dataclasses.replace(
            self.first,
            tensors=tensors,
            labels={name: _class_numbers(value, self.subset.n_read, rows) for name, value in labels.items()},
            device=device,
        )

    def _arguments(self, batch: Any) -> PassInputs:
        """Return the arguments in a batch."""
        if any(map(_is_packed, pytree.tree_leaves(batch, _is_packed))):
            raise TypeError(
                "inputs: got a PackedSequence, wanted padded rows, by torch.nn.utils.rnn.pad_packed_sequence(..., "
                "batch_first=True), with their lengths as another argument"
            )
        if isinstance(batch, Mapping):
            args, kwargs = (), dict(batch.items())
        else:
            args, kwargs = tuple(batch) if isinstance(batch, tuple | list) else (batch,), {}
        leaves, structure = pytree.tree_flatten((args, kwargs))
        leaves = [as_array(leaf) for leaf in leaves]
        arrays = [leaf for leaf in leaves if isinstance(leaf, Tensor | np.ndarray)]
        constants = tuple(_TENSOR if isinstance(leaf, Tensor | np.ndarray) else leaf for leaf in leaves)
        for constant in constants:
            if constant is not _TENSOR and not isinstance(constant, _CONSTANTS):
                raise TypeError(
                    f"inputs: got {type(constant).__name__} among the arguments, wanted tensors, arrays, numbers, "
                    "strings or None"
                )
        if not arrays:
            got = ", ".join(type(leaf).__name__ for leaf in leaves) or f"an empty {type(batch).__name__}"
            raise TypeError(f"inputs: got {got}, wanted a tensor or an array of shape (n, ...) among the arguments")
        tensors = tuple(_as_input(leaf, self.model) for leaf in arrays)
        _check_tensors(tensors)
        return PassInputs(tensors, structure, constants, are_arrays=isinstance(arrays[0], np.ndarray))


def _is_packed(argument: object) -> bool:
    return isinstance(argument, PackedSequence)


def _check_tensors(tensors: Sequence[Tensor]) -> None:
    if any(tensor.is_meta for tensor in tensors):
        raise ValueError("inputs: got a tensor on the device meta, wanted a tensor that holds values")
    unusual = next((tensor for tensor in tensors if tensor.layout != torch.strided or tensor.is_quantized), None)
    if unusual is not None:
        kind = "quantized" if unusual.is_quantized else "nested" if unusual.is_nested else "sparse"
        raise TypeError(f"inputs: got a {kind} tensor, wanted a dense one; convert it, for instance by .to_dense()")
    sizes = {tuple(tensor.shape[:1]) for tensor in tensors}
    if len(sizes) > 1 or sizes & {(), (0,)}:
        got = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(
            f"inputs: got shape {got}, wanted (n, ...) with one n >= 1; for the nodes and edges of one graph, record "
            "the signals of a pass and measure them with layerbits.information"
        )
    if any(tensor.isnan().any() for tensor in tensors):
        raise ValueError("inputs: got NaN, wanted numbers; leave those rows out")


def _check_same_form(first: PassInputs, other: PassInputs) -> None:
    """Raise a ValueError unless two batches can be rows of the same inputs."""
    if first.structure != other.structure or first.constants != other.constants:
        raise ValueError(
            f"inputs: got batches with other arguments: {first.constants} and {other.constants}, wanted the same "
            "arguments in every batch"
        )
    for left, right in zip(first.tensors, other.tensors, strict=True):
        if left.shape[1:] != right.shape[1:] or left.dtype != right.dtype:
            raise ValueError(
                f"inputs: got batches of {left.dtype} and shape {tuple(left.shape)}, and of {right.dtype} and shape "
                f"{tuple(right.shape)}, wanted rows of one shape; pad all rows to one length, with a mask"
            )


def _class_numbers(labels: object, n_read: int, rows: slice | Integers) -> Integers:
    """Return class numbers without gaps of some rows."""
    chosen = class_numbers(labels, n_read)[rows]
    return class_numbers(chosen, len(chosen))


def _as_input(argument: Tensor | npt.NDArray[Any], model: nn.Module) -> Tensor:
    """Return a tensor; arrays are moved to the device of the network, and floating-point arrays to its dtype."""
    if isinstance(argument, Tensor):
        return argument
    tensor = as_tensor("inputs", argument)
    parameter = _floating_point_parameter(model)
    if parameter is None:
        return tensor
    return tensor.to(parameter.device, parameter.dtype if tensor.is_floating_point() else tensor.dtype)


def _floating_point_parameter(model: nn.Module) -> nn.Parameter | None:
    return next((parameter for parameter in model.parameters() if parameter.is_floating_point()), None)
