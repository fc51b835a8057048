"""The batches of data sets, loaders and lists, and the labels in a batch."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from layerbits.networks.inputs.data_frames import is_frame

# Number of rows of a batch that is read from a `Dataset`.
_DATASET_ROWS = 256


def is_one_batch(inputs: object) -> bool:
    """Return whether inputs are the arguments of one pass, not an iterable of batches."""
    return isinstance(inputs, Tensor | np.ndarray | tuple | Mapping) or is_frame(inputs)


def batches_of(inputs: object) -> Iterator[object]:
    """Yield the batches of a data set, a loader, a list or another iterable; arguments of one pass are one batch.

    The global generators of torch (CPU), NumPy and Python, which loaders use, are restored after the last batch.

    Raises
    ------
    TypeError
        Inputs are neither arguments of a pass nor an iterable of batches.
    """
    if is_one_batch(inputs):
        yield inputs
        return
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable | Dataset):
        raise TypeError(
            f"inputs: got {type(inputs).__name__}, wanted a tensor or an array of shape (n, ...), a tuple or mapping "
            "of them, a data frame, a Dataset, a DataLoader, or a list of batches"
        )
    with _loader_generators_restored():
        yield from DataLoader(inputs, batch_size=_DATASET_ROWS) if isinstance(inputs, Dataset) else inputs


def is_label_finder(labels: object) -> bool:
    """Return whether `labels` is a key, a position or a function that finds the labels in a batch."""
    return isinstance(labels, str) or callable(labels) or (isinstance(labels, int) and not isinstance(labels, bool))


def find_labels(batch: Any, labels: object) -> tuple[list[object], object]:
    """Return the keys or positions of the labels in a batch, and the labels.

    Parameters
    ----------
    batch : object
        A tensor, array or data frame, a tuple or list of positional arguments, or a mapping of arguments by name.
    labels : str, int or callable
        The key, the position or the function that finds the labels in the batch. If a function returns labels that are
        no item of the batch, there are no keys.

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
        return [key for key, item in items.items() if item is label_values], label_values
    if labels not in items:
        keys = ", ".join(map(repr, items)) or f"none, because it is a {type(batch).__name__}"
        raise ValueError(f"labels: got {labels!r}, wanted the key or position of the labels in a batch: {keys}")
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


@contextlib.contextmanager
def _loader_generators_restored() -> Iterator[None]:
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - loaders use the global generator
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
