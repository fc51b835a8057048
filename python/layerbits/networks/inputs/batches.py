"""The batches of data sets, loaders and lists."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, IterableDataset

from layerbits.networks.inputs.data_frames import is_frame

# Number of rows of a batch that is read from a `Dataset`.
_DATASET_ROWS = 256


def is_one_batch(inputs: object) -> bool:
    """Return whether inputs are the arguments of one pass, not an iterable of batches."""
    return isinstance(inputs, Tensor | np.ndarray | tuple | Mapping) or is_frame(inputs)


def may_reuse_memory(inputs: object) -> bool:
    """Return whether an iterable may yield a batch in the memory of an earlier one, as a generator with a buffer."""
    return not is_one_batch(inputs) and not isinstance(inputs, Sequence | Dataset)


def batches_of(inputs: object) -> Iterator[object]:
    """Yield the batches of a data set, a loader, a list or another iterable; arguments of one pass are one batch.

    The global generators of torch (CPU), NumPy and Python, which loaders use, are restored after the last batch.

    Raises
    ------
    TypeError
        Inputs are neither arguments of a pass nor an iterable of batches, or a data set has no length.
    """
    if is_one_batch(inputs):
        yield inputs
        return
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable | Dataset):
        raise TypeError(
            f"inputs: got {type(inputs).__name__}, wanted a tensor or an array of shape (n, ...), a tuple or mapping "
            "of them, a data frame, a Dataset, a DataLoader, or a list of batches"
        )
    if isinstance(inputs, Dataset) and not isinstance(inputs, IterableDataset) and not hasattr(inputs, "__len__"):
        raise TypeError(
            f"inputs: got {type(inputs).__name__}, a Dataset without __len__, wanted one with it, or an IterableDataset"
        )
    with _loader_generators_restored():
        yield from DataLoader(inputs, batch_size=_DATASET_ROWS) if isinstance(inputs, Dataset) else inputs


def check_memory_of_rows(inputs: object) -> None:
    """Raise a ValueError if the rows of a data set, or of that of a loader, share the memory of one tensor.

    A batch of such rows has the last of them many times. The first two rows are read.
    """
    dataset = inputs.dataset if isinstance(inputs, DataLoader) else inputs
    if not isinstance(dataset, Dataset):
        return
    with _loader_generators_restored():
        try:
            rows = iter(dataset if isinstance(dataset, IterableDataset) else map(dataset.__getitem__, range(2)))
            values = [torch.as_tensor(leaf) for leaf in pytree.tree_leaves(next(rows)) if _has_memory(leaf)]
            copies = [value.clone() for value in values]
            next(rows)
        except Exception:  # a data set may have other indices, or raise any error at its end
            return
    if not all(((value == copied) | value.isnan()).all() for value, copied in zip(values, copies, strict=True)):
        raise ValueError(
            f"inputs: got {type(dataset).__name__}, whose rows share the memory of one tensor, wanted rows that keep "
            "their values; return a copy of the row, such as row.clone()"
        )


def _has_memory(value: object) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiub")


@contextlib.contextmanager
def _loader_generators_restored() -> Iterator[None]:
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - loaders use the global generator
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
