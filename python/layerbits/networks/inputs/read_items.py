"""The items of a batch that are labels: those of a key or position, or those that a function of the user reads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from layerbits.networks.inputs.data_frames import is_frame
from layerbits.statistics import label_array

# Number of rows of a data frame in which the columns that a function reads are found: a copy of all rows for each
# column would take long.
_FRAME_ROWS = 8


def find_labels(batch: Any, labels: object, keys: list[object] | None) -> tuple[list[object], object]:
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

    Raises
    ------
    ValueError
        The batch has no such key or position, or the function returns None or other labels for the same batch, or
        reads the first positional argument and returns labels that it computes.
    TypeError
        A function gets a data frame that is not of pandas.
    """
    items = _items(batch)
    if callable(labels):
        label_values = labels(batch)
        if label_values is None:
            raise ValueError("labels: got a function that returns None, wanted the labels of a batch")
        if keys is None:
            keys = [key for key, item in items.items() if item is label_values]
            keys = keys or (_read_keys(batch, labels, label_values) if items else [])
        return keys, label_values
    if labels not in items:
        names = ", ".join(map(repr, items)) or f"none, because it is a {type(batch).__name__}"
        raise ValueError(f"labels: got {labels!r}, wanted the key or position of the labels in a batch: {names}")
    return [labels], items[labels]


def without_items(batch: Any, keys: Sequence[object]) -> Any:
    """Return a batch without the items of these keys or positions: a data frame, a dict or a tuple."""
    if not keys:
        return batch
    if is_frame(batch):
        return batch[[column for column in batch.columns if column not in keys]]
    items = {key: item for key, item in _items(batch).items() if key not in keys}
    return items if isinstance(batch, Mapping) else tuple(items.values())


def _items(batch: Any) -> dict[object, Any]:
    """Return the items of a mapping, data frame, tuple or list by key or position; other batches have none."""
    if isinstance(batch, Mapping):
        return dict(batch.items())
    if hasattr(batch, "columns"):
        return {column: batch[column] for column in batch.columns}
    return dict(enumerate(batch)) if isinstance(batch, tuple | list) else {}


class _Unreadable:
    """A value that raises an error where a function compares, hashes, branches on or computes with it."""

    def _refuse(self, *_: object) -> Any:
        raise TypeError("a label function reads this item")

    __eq__ = __ne__ = __bool__ = __hash__ = _refuse  # other operations raise a TypeError for any object


def _read_keys(batch: Any, function: Callable[[Any], Any], label_values: object) -> list[object]:
    """Return the keys of the items that a function reads: where they are replaced, it fails or returns other labels."""
    if is_frame(batch):
        if not hasattr(batch, "iloc"):
            raise TypeError(
                f"labels: got a function for a data frame of {type(batch).__module__.partition('.')[0]}, wanted the "
                "name of the column of labels"
            )
        batch = batch.iloc[:_FRAME_ROWS]
        label_values = function(batch)
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
    if 0 in keys and isinstance(batch, tuple | list):
        raise ValueError(
            "labels: got a function that computes labels from the first positional argument, wanted one that reads "
            "other items of the batch: the network does not get the items that the function reads; compute these "
            "labels before, and pass them apart or in the batch"
        )
    return keys


def _gives(function: Callable[[Any], Any], batch: object, labels: object) -> bool:
    """Return whether a function returns these labels for a batch."""
    try:
        others = function(batch)
        return others is not None and np.array_equal(label_array(others), label_array(labels))
    except Exception:  # any error of the function, or of values that are no labels
        return False


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
