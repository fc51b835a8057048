"""The inputs of a network as tensors that share their first axis, their labels, and how a call takes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from layerbits._base import Integers, check_count
from layerbits.kernels import RandomStream, as_tensor, stream
from layerbits.networks.batches import as_numpy, batches_of, finds_labels, is_one_batch, split_labels
from layerbits.statistics import class_numbers, label_array

# Name of the label set of labels that are no mapping.
_Y = "Y"


class _TensorLeaf:
    """Stands for a tensor among the constants."""


_TENSOR = _TensorLeaf()


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
    inputs: object, model: nn.Module, labels: object = None, *, limit: int | None = None, seed: int = 0
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

    Raises
    ------
    TypeError, ValueError
        Inputs are of another type, differ in their number of rows, are empty, or hold NaN; batches differ in their
        shapes or constants; labels are not found.
    """
    reader = _Reader(model, labels, _Subset(limit, seed))
    for batch in batches_of(inputs):
        reader.add(batch)
    return reader.result(device=None if is_one_batch(inputs) else _like(model, torch.empty(0)).device)


class _Subset:
    """A random subset of rows that are read batch by batch: those with the least of independent random numbers."""

    def __init__(self, limit: int | None, seed: int) -> None:
        self.limit = None if limit is None else check_count("limit", limit, minimum=1)
        self.n_read = 0
        self.rows = np.empty(0, np.int64)
        self._generator = stream(seed, RandomStream.INPUT_SUBSET)
        self._numbers = np.empty(0)

    def add(self, n_rows: int) -> Integers | None:
        """Return the positions to keep among the kept rows and `n_rows` new ones; None for all."""
        rows = np.concatenate([self.rows, np.arange(self.n_read, self.n_read + n_rows)])
        self.n_read += n_rows
        if self.limit is None:
            return None
        numbers = np.concatenate([self._numbers, self._generator.random(n_rows)])
        kept = np.sort(np.argsort(numbers)[: self.limit])
        self.rows, self._numbers = rows[kept], numbers[kept]
        return kept


class _Reader:
    """Reads batches of the arguments of a network."""

    def __init__(self, model: nn.Module, labels: object, subset: _Subset) -> None:
        self.model = model
        self.subset = subset
        self.labels = dict(labels) if isinstance(labels, Mapping) else {} if labels is None else {_Y: labels}
        self.found: dict[str, list[npt.NDArray[Any]]] = {
            name: [] for name, value in self.labels.items() if finds_labels(value)
        }
        self.parts: list[list[Tensor]] = []
        self.structure: pytree.TreeSpec | None = None
        self.constants: tuple[object, ...] = ()
        self.are_arrays = False

    def add(self, batch: object) -> None:
        """Add the rows of a batch."""
        arguments = batch
        for name, parts in self.found.items():
            remaining, found = split_labels(batch, self.labels[name])
            parts.append(label_array(found))
            arguments = _intersection(arguments, remaining)
        leaves, structure = pytree.tree_flatten(_call_arguments(arguments))
        leaves = [as_numpy(leaf) for leaf in leaves]
        tensors = [_as_input(leaf, self.model) for leaf in leaves if isinstance(leaf, Tensor | np.ndarray)]
        constants = tuple(_TENSOR if isinstance(leaf, Tensor | np.ndarray) else leaf for leaf in leaves)
        self._check(tensors, structure, constants)
