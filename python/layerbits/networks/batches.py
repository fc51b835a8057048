"""Batches of inputs and labels, from every form in which people have data."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from layerbits._base import check_count

# Rows of a batch that is read from a data set.
_DATASET_ROWS = 256

# Attribute of data frames and series of pandas, polars and others.
_TO_NUMPY = "to_numpy"


def batches_of(inputs: object) -> Iterator[object]:
    """Yield the batches of a data set, a loader, a list or another iterable; other inputs are one batch.

    Random numbers that a loader uses come from the global generators, which get their states back.
    """
    if isinstance(inputs, Tensor | np.ndarray | tuple | Mapping) or hasattr(inputs, _TO_NUMPY):
        yield inputs
        return
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable | Dataset):
        raise TypeError(
            f"inputs: got {type(inputs).__name__}, wanted a tensor or an array of shape (n, ...), a tuple or mapping "
            "of them, a data frame, a Dataset, a DataLoader, or a list of batches"
        )
    with _generators_restored():
        yield from DataLoader(inputs, batch_size=_DATASET_ROWS) if isinstance(inputs, Dataset) else inputs


def split_labels(batch: object, labels: object) -> tuple[object, object]:
    """Return a batch without its labels, and the labels.

    Parameters
    ----------
    batch : object
        A tensor, array or data frame, a tuple or list of positional arguments, or a mapping of arguments by name.
    labels : str, int or callable
        The key, the position or the function that finds the labels in the batch.

    Raises
    ------
    TypeError, ValueError
        The batch has no such key or position, or the function finds nothing.
    """
    if isinstance(labels, str):
        if hasattr(batch, _TO_NUMPY) and labels in getattr(batch, "columns", ()):
            return batch.drop(columns=labels), batch[labels]  # type: ignore[attr-defined]
        if not isinstance(batch, Mapping) or labels not in batch:
            keys = ", ".join(map(str, batch)) if isinstance(batch, Mapping) else type(batch).__name__
            raise ValueError(f"labels: got the key {labels!r}, wanted one of the keys of a batch: {keys}")
        return {name: value for name, value in batch.items() if name != labels}, batch[labels]
    if callable(labels):
        found = labels(batch)
        if found is None:
            raise ValueError("labels: got a function that returns None for a batch, wanted the labels of its inputs")
        return _without(batch, found), found
    position = check_count("labels", labels, minimum=0)
    if not isinstance(batch, tuple | list) or position >= len(batch):
        size = len(batch) if isinstance(batch, tuple | list) else type(batch).__name__
        raise ValueError(f"labels: got position {position}, wanted a position in a batch: {size}")
    return (*batch[:position], *batch[position + 1 :]), batch[position]


def finds_labels(labels: object) -> bool:
    """Return whether labels are a key, a position or a function that finds them in a batch."""
    return isinstance(labels, str | int) and not isinstance(labels, bool) or callable(labels)


def _without(batch: object, found: object) -> object:
    if isinstance(batch, Mapping):
        return {name: value for name, value in batch.items() if value is not found}
    return tuple(item for item in batch if item is not found) if isinstance(batch, tuple | list) else batch


@contextlib.contextmanager
def _generators_restored() -> Iterator[None]:
    """Restore the generators of torch (CPU), NumPy and Python, which loaders and augmentations use."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
