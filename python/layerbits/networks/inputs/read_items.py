"""The items of a batch that are labels: those of a key or position, or those that a function of the user reads."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from layerbits._base import shown_repr
from layerbits.networks.execution.shadow import unwrapped
from layerbits.networks.inputs.data_frames import is_frame
from layerbits.networks.inputs.trial_passes import runs
from layerbits.statistics import label_array

# Number of rows of a data frame in which the columns that a function reads are found: a copy of all rows for each
# column would take long.
_FRAME_ROWS = 8

# Arguments of networks that are labels, as in transformers: for a loss, which no measurement needs.
_LABEL_ARGUMENTS = ("label", "labels", "label_ids", "target", "targets")

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclasses.dataclass(frozen=True)
class ForwardArguments:
    """Names of the arguments that a network takes: the positional ones in their order, and all of them.

    `n_required` is the number of positional ones without a default. `runs_with` returns whether the network runs with
    positional arguments.
    """

    positional: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    n_required: int = 0
    runs_with: Callable[[Sequence[object]], bool] = lambda _: True

    @classmethod
    def of(cls, model: nn.Module) -> ForwardArguments:
        """Return the arguments of a network; none if they are not known, as those of ``*args``."""
        try:
            parameters = list(inspect.signature(unwrapped(model).forward).parameters.values())
        except (TypeError, ValueError):  # a forward method without a signature, as in TorchScript
            return cls()
        positional = tuple(parameter.name for parameter in parameters if parameter.kind in _POSITIONAL)
        by_name = [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
        n_required = sum(
            parameter.kind in _POSITIONAL and parameter.default is inspect.Parameter.empty for parameter in parameters
        )
        runs_with = functools.partial(runs, model)
        return cls(positional, frozenset({*positional, *by_name}), n_required, runs_with)

    def name_of(self, batch: object, key: Any) -> str:
        """Return the name of the argument that an item of a batch is for the network; empty if it is none."""
        if isinstance(batch, Mapping):
            return key if key in self.names else ""
        if isinstance(batch, tuple | list):
            return self.positional[key] if key < len(self.positional) else "the first" if key == 0 else ""
        return ""  # a column of a data frame

    def may_take(self, batch: object, key: Any) -> str:
        """Return the name of the argument that the network may take for an item; empty if it is none, or labels.

        An optional argument is not taken if the network fails with this item, and runs without it.
        """
        name = self.name_of(batch, key)
        if not name or name in _LABEL_ARGUMENTS or not isinstance(batch, tuple | list) or key < self.n_required:
            return "" if name in _LABEL_ARGUMENTS else name
        others = [item for position, item in enumerate(batch) if position != key]
        return name if self.runs_with(batch) or not self.runs_with(others) else ""

    def are_item(self, item: object) -> bool:
        """Return whether an item holds all arguments: a mapping of their names, or as many as the network requires.

        A network that may take the tuple or list itself, as its only required argument, gets it.
        """
        if isinstance(item, Mapping):
            return bool(item) and self.names.issuperset(item)
        return isinstance(item, tuple | list) and 1 < self.n_required <= len(item) <= len(self.positional)


def find_labels(
    batch: Any, labels: object, keys: list[object] | None, arguments: ForwardArguments
) -> tuple[list[object], object]:
    """Return the keys or positions of the labels in a batch, and the labels.

    Parameters
    ----------
    batch : object
        A tensor, array or data frame, a tuple or list of positional arguments, or a mapping of arguments by name.
    labels : str, int or callable
        The key, the position or the function that finds the labels in the batch. The keys of a function are those of
        the item that it returns, or else of all items that it reads.
    keys : list, optional
        The keys in an earlier batch.
    arguments : ForwardArguments
        The arguments of the network.

    Raises
    ------
    ValueError
        The batch has no such key or position, or the function raises an error, returns None or other labels for the
        same batch, writes into the batch, or computes labels from an argument of the network.
    TypeError
        A function gets a data frame that is not of pandas.
    """
    items = _items(batch)
    if callable(labels):
        label_values = _result(labels, batch, items)
        if label_values is None:
            raise ValueError("labels: got a function that returns None, wanted the labels of a batch")
        if keys is None:
            keys = [key for key, item in items.items() if item is label_values]
            keys = keys or (_read_keys(batch, labels, label_values, arguments) if items else [])
        return keys, label_values
    fields = getattr(batch, "_fields", ())  # names, if it is a named tuple
    if labels in fields:
        labels = fields.index(labels)
    if isinstance(labels, int) and -len(items) <= labels < 0 and isinstance(batch, tuple | list):
        labels += len(items)
    if labels not in items:
        names = _names(batch, items)
        raise ValueError(
            f"labels: got {shown_repr(labels)}, wanted the key or position of the labels in a batch: {names}"
        )
    return [labels], items[labels]


def without_items(batch: Any, keys: Sequence[object], arguments: ForwardArguments) -> Any:
    """Return a batch without the items of these keys or positions: a data frame, a dict or a tuple.

    Of a tuple or list, return the only other item if it holds all arguments of the network, as of ((a, b), labels).

    Raises
    ------
    ValueError
        No item is left.
    """
    if not keys:
        return batch
    if not _items(batch).keys() - set(keys):
        taken = ", ".join(map(repr, keys))
        raise ValueError(
            f"labels: got {taken}, the only item of a batch, so nothing is left for the network; put the inputs into "
            "the batch too, or pass the labels apart"
        )
    if is_frame(batch):
        return batch[[column for column in batch.columns if column not in keys]]
    items = {key: item for key, item in _items(batch).items() if key not in keys}
    if isinstance(batch, Mapping):
        return items
    others = tuple(items.values())
    return others[0] if len(others) == 1 and arguments.are_item(others[0]) else others


def _items(batch: Any) -> dict[object, Any]:
    """Return the items of a mapping, data frame, tuple or list by key or position; other batches have none."""
    if isinstance(batch, Mapping):
        return dict(batch.items())
    if hasattr(batch, "columns"):
        return {column: batch[column] for column in batch.columns}
    return dict(enumerate(batch)) if isinstance(batch, tuple | list) else {}


def _names(batch: object, items: Mapping[object, Any]) -> str:
    """Return the keys or positions of the items of a batch for a message."""
    return ", ".join(map(repr, items)) or f"none, because it is a {type(batch).__name__}"


def _result(function: Callable[[Any], Any], batch: Any, items: Mapping[object, Any]) -> object:
    """Return the labels of a batch.

    Raises
    ------
    ValueError
        The function raises an error, which becomes the cause, or writes into an item.
    """
    before = {key: _written(item) for key, item in items.items()}
    try:
        labels = function(_shallow_copy(batch))
    except MemoryError:
        raise
    except Exception as error:  # a function of the user may raise any error
        raise ValueError(
            f"labels: got a function that raises {type(error).__name__} ({error}) for a batch with the keys or "
            f"positions {_names(batch, items)}, wanted the labels of a batch"
        ) from error
    changed = [key for key, item in items.items() if _written(item) != before[key]]
    if changed:
        raise ValueError(
            f"labels: got a function that changes the values of item {changed[0]!r} of a batch, which the network may "
            "take, wanted a function that only reads the batch"
        )
    return labels


def _written(item: object) -> int:
    """Return a number that changes when values of a tensor or array are written."""
    if isinstance(item, Tensor):
        return 0 if item.is_inference() else item._version
    if isinstance(item, np.ndarray) and not item.dtype.hasobject:
        return zlib.crc32(np.ascontiguousarray(item).reshape(-1).view(np.uint8).data)
    return 0


class _Unreadable:
    """A value that raises an error where a function compares, hashes, branches on or computes with it."""

    def _refuse(self, *_: object) -> Any:
        raise TypeError("a label function reads this item")

    __eq__ = __ne__ = __bool__ = __hash__ = _refuse  # other operations raise a TypeError for any object


def _read_keys(
    batch: Any, function: Callable[[Any], Any], label_values: object, arguments: ForwardArguments
) -> list[object]:
    """Return the keys of the items that a function reads: if one is replaced, it fails or returns other labels.

    Raises
    ------
    TypeError
        The batch is a data frame that is not of pandas.
    ValueError
        A second call returns other labels, or the function reads an argument of the network.
    """
    if is_frame(batch):
        if not hasattr(batch, "iloc"):
            raise TypeError(
                f"labels: got a function for a data frame of {type(batch).__module__.partition('.')[0]}, wanted the "
                "name of the column of labels"
            )
        batch = batch.iloc[:_FRAME_ROWS]
        label_values = function(_shallow_copy(batch))
    if not _gives(function, batch, label_values):
        raise ValueError(
            "labels: got a function that returns other labels in a second call for the same batch, wanted a function "
            "of the batch alone; put the labels into the batches"
        )
    keys = [
        key
        for key in _items(batch)
        if not all(_gives(function, other, label_values) for other in _with_other_item(batch, key))
    ]
    for key in keys:
        name = arguments.may_take(batch, key)
        if name:
            raise ValueError(
                f"labels: got a function that computes labels from item {key!r}, which the network may take as its "
                f"argument {name!r}, wanted one that reads other items of the batch: the network does not get the "
                "items that the function reads; compute these labels before, and pass them apart or in the batch"
            )
    return keys


def _gives(function: Callable[[Any], Any], batch: object, labels: object) -> bool:
    """Return whether a function returns these labels for a batch."""
    try:
        others = function(_shallow_copy(batch))
        return others is not None and np.array_equal(label_array(others), label_array(labels))
    except Exception:  # any error of the function, or of values that are no labels
        return False


def _shallow_copy(batch: Any) -> Any:
    """Return a batch from which a function may remove items."""
    if is_frame(batch):
        return batch.copy(deep=False) if hasattr(batch, "iloc") else batch
    try:
        return copy.copy(batch) if isinstance(batch, Mapping | list) else batch
    except Exception:  # a mapping may refuse copies in any way
        return batch


def _with_other_item(batch: Any, key: Any) -> Iterator[Any]:
    """Yield copies of a batch in which one item has other values."""
    if not is_frame(batch):
        yield _replaced(batch, key, _Unreadable())
        return
    for value in (_Unreadable(), None):  # functions such as isna read columns without an operation on their values
        other = batch.copy()
        other[key] = np.array([value] * len(batch), dtype=object)
        yield other


def _replaced(batch: Any, key: Any, item: object) -> Any:
    if isinstance(batch, Mapping):
        try:
            other: Any = copy.copy(batch)
            other[key] = item
        except Exception:  # a mapping may refuse copies and writes in any way
            return {**batch, key: item}
        return other
    values = [item if position == key else value for position, value in enumerate(batch)]
    if hasattr(batch, "_fields"):
        return type(batch)(*values)  # a named tuple
    return tuple(values) if isinstance(batch, tuple) else values
