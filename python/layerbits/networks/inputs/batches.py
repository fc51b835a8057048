"""The batches of data sets, loaders and lists."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from layerbits.networks.execution.global_generators import global_states_restored
from layerbits.networks.inputs.data_frames import is_frame

# Number of rows of a batch that is read from a `Dataset`.
_DATASET_ROWS = 256


def is_one_batch(inputs: object) -> bool:
    """Return whether inputs are the arguments of one pass, not an iterable of batches."""
    return isinstance(inputs, Tensor | np.ndarray | tuple | Mapping) or is_frame(inputs)


def has_rows(inputs: object) -> bool:
    """Return whether inputs are a data set of known length, whose rows can be read one by one."""
    is_set = isinstance(inputs, Dataset) and not isinstance(inputs, IterableDataset)
    return is_set and not is_one_batch(inputs) and hasattr(inputs, "__len__")


def as_data_set(inputs: Any) -> object:
    """Return a data set of the package datasets as a `Dataset` of torch; return other inputs unchanged.

    Loaders of torch read the rows of a batch by ``__getitems__``, which such a data set has.
    """
    is_foreign_set = hasattr(type(inputs), "__getitems__") and not isinstance(inputs, Dataset)
    return Subset(inputs, range(len(inputs))) if is_foreign_set and not is_one_batch(inputs) else inputs


def may_reuse_memory(inputs: object) -> bool:
    """Return whether an iterable may yield a batch in the memory of an earlier one, as a generator with a buffer."""
    return not is_one_batch(inputs) and not isinstance(inputs, Sequence | Dataset)


def may_be_endless(inputs: Any) -> bool:
    """Return whether the number of batches is not known."""
    try:
        len(inputs)
    except TypeError:  # raised by a loader of an IterableDataset too
        return True
    return False


def batches_of(inputs: object) -> Generator[object, None, None]:
    """Yield the batches of a data set, a loader, a list or another iterable; arguments of one pass are one batch.

    The global generators of torch, NumPy and Python, which loaders use, are restored after the last batch, or when the
    iterator is closed.

    Raises
    ------
    TypeError
        Inputs are neither arguments of a pass nor an iterable of batches, or a data set has no length; or torch cannot
        make a batch of its rows.
    ValueError
        The rows of a data set have different shapes.
    """
    if is_one_batch(inputs):
        yield inputs
        return
    if isinstance(inputs, str | bytes | memoryview) or not isinstance(inputs, Iterable | Dataset):
        raise TypeError(
            f"inputs: got {type(inputs).__name__}, wanted a tensor or an array of shape (n, ...), a tuple or mapping "
            "of them, a data frame, a Dataset, a DataLoader, or a list of batches"
        )
    if isinstance(inputs, Dataset) and not isinstance(inputs, IterableDataset) and not hasattr(inputs, "__len__"):
        raise TypeError(
            f"inputs: got {type(inputs).__name__}, a Dataset without __len__, wanted one with it, or an IterableDataset"
        )
    with global_states_restored(), _naming_rows():
        yield from DataLoader(inputs, batch_size=_DATASET_ROWS) if isinstance(inputs, Dataset) else inputs


def remedy_for_samples(inputs: object) -> str:
    """Return the remedy if the items of an iterable seem to be samples instead of batches."""
    if isinstance(inputs, DataLoader) and inputs.batch_size is None and inputs.batch_sampler is None:
        return "a loader with batch_size=None holds batches: for a loader of samples, pass batch_size=100 to it"
    return "a list holds batches: for a list of samples, pass DataLoader(samples, batch_size=100)"


def no_batch(inputs: Any) -> ValueError:
    """Return the error of inputs without a batch, with the reason."""
    dataset: Any = inputs.dataset if isinstance(inputs, DataLoader) and _drops_last(inputs) else ()
    if not may_be_endless(dataset) and len(dataset):
        got = f", because drop_last=True leaves out all {len(dataset)} rows of the loader"
        remedy = "pass drop_last=False, or a smaller batch_size"
    elif may_be_endless(inputs) or isinstance(inputs, Iterator):
        got, remedy = "", "a generator can be read once only"
    else:
        got, remedy = f", because the {type(inputs).__name__} is empty", "pass at least one input"
    return ValueError(f"inputs: got no batch{got}, wanted at least one; {remedy}")


def check_dropped_rows(inputs: object, n_read: int, n_labels: int | None) -> None:
    """Raise a ValueError if a loader leaves out rows at its end for which labels apart from the batches exist."""
    if not isinstance(inputs, DataLoader) or not _drops_last(inputs) or may_be_endless(inputs.dataset):
        return
    dataset: Any = inputs.dataset
    if n_labels == len(dataset) > n_read:
        raise ValueError(
            f"labels: got {n_labels} labels for the {n_read} rows of a loader whose drop_last=True leaves out rows at "
            "its end, wanted one label for each row; pass drop_last=False"
        )


def _drops_last(loader: DataLoader[Any]) -> bool:
    return bool(loader.drop_last or getattr(loader.batch_sampler, "drop_last", False))


def check_memory_of_rows(inputs: object) -> None:
    """Raise a ValueError if the rows of a data set, or of the data set of a loader, share the memory of one tensor.

    A batch of such rows has the last of them many times. The first two rows are read.
    """
    dataset = inputs.dataset if isinstance(inputs, DataLoader) else inputs
    if not isinstance(dataset, Dataset):
        return
    with global_states_restored():
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
def _naming_rows() -> Iterator[None]:
    """Turn errors of torch's default_collate in a ``with`` block into errors that name the inputs."""
    try:
        yield
    except TypeError as error:
        if "default_collate" not in str(error):
            raise
        reason = str(error).splitlines()[-1]  # the error of a worker process includes a traceback
        raise TypeError(
            f"inputs: got rows of which torch makes no batch ({reason}), wanted tensors, arrays or numbers; convert "
            "images where the data set returns them, for instance by transform=torchvision.transforms.ToTensor()"
        ) from error
    except RuntimeError as error:
        if "equal size" not in str(error):
            raise
        raise ValueError(
            f"inputs: got rows of different shapes ({str(error).splitlines()[-1]}), wanted rows of one shape; pad all "
            "rows to one length, with a mask, and resize images"
        ) from error
