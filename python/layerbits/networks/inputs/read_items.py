"""The items of a batch that are labels: those of a key or position, or those that a function returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from layerbits.networks.inputs.data_frames import is_frame


def find_labels(batch: Any, labels: object, keys: list[object] | None) -> tuple[list[object], object]:
    """Return the keys or positions of the labels in a batch, and the labels.

    Parameters
    ----------
    batch : object
        A tensor, array or data frame, a tuple or list of positional arguments, or a mapping of arguments by name.
    labels : str, int or callable
        The key, the position or the function that finds the labels in the batch. If a function returns labels that are
        no item of the batch, there are no keys.
    keys : list, optional
        The keys in an earlier batch.

    Raises
    ------
    ValueError
        The batch has no such key or position, or the function returns None.
    """
    items = _items(batch)
    if callable(labels):
        label_values = labels(batch)
        if label_values is None:
            raise ValueError("labels: got a function that returns None, wanted the labels of a batch")
        if keys is None:
            keys = [key for key, item in items.items() if item is label_values]
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
