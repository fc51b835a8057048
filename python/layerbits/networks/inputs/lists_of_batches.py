"""Check that the items of a list are batches: samples that are read as batches would give another number of rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, RandomSampler, SequentialSampler, default_convert

from layerbits.networks.execution.global_generators import global_states_restored
from layerbits.networks.inputs.batches import is_one_batch


def check_are_batches(inputs: Any, n_labels: int | None = None) -> None:
    """Raise a ValueError if items may be samples instead of batches; warn if a list is taken for one of batches.

    Items are batches if they have more than one axis and equal numbers of rows, except for fewer rows in the last item,
    as of a loader. If the last item has as many rows, the items of a list are taken for batches, with a warning. Items
    of a single row have one row either way. Only three items are read from an object that is no sequence, and from the
    data set of a loader with ``batch_size=None``. Iterators are not checked.

    Parameters
    ----------
    inputs : object
        The inputs of a network.
    n_labels : int, optional
        Number of labels: items with as many rows in all are batches.

    Raises
    ------
    ValueError
        Items may be samples or batches.

    Warns
    -----
    UserWarning
        The items of a list are taken for batches.
    """
    is_list, remedy = isinstance(inputs, Sequence), "DataLoader(inputs, batch_size=100)"
    if _has_no_batch_size(inputs):
        inputs, remedy = inputs.dataset, "batch_size=100 to the DataLoader"
    elif is_one_batch(inputs) or isinstance(inputs, Dataset | str | bytes | memoryview):
        return
    if not _has_items(inputs) or len(inputs) < 2:
        return
    if is_list and not _shape(inputs[0]):  # a range of numbers may be too long to read
        return
    with global_states_restored():  # a data set may draw random numbers
        items = inputs if is_list else [inputs[0], inputs[1], inputs[len(inputs) - 1]]
    shapes = [_shape(item) for item in items]
    sizes = [shape[0] for shape in shapes if shape]
    if len(sizes) < len(items) or max(sizes) == 1:
        return
    if sum(sizes) + sizes[0] * (len(inputs) - len(items)) == n_labels:
        return
    if len(shapes[0]) > 1 and set(sizes[:-1]) == {sizes[0]} and sizes[-1] <= sizes[0]:
        if sizes[-1] < sizes[0]:
            return
        if is_list:
            warnings.warn(
                f"inputs: got a list of {len(inputs)} items of shape {shapes[0]}, taken for batches of {sizes[0]} rows"
                "; pass DataLoader(inputs, batch_size=100) if they are samples, or iter(inputs) to avoid this warning",
                stacklevel=4,
            )
            return
    raise ValueError(
        f"inputs: got {len(inputs)} items, the first of shape {shapes[0]}, which may be samples or batches, wanted a "
        f"number of rows that is certain; pass iter(inputs) if they are batches, {remedy} if they are samples, of one "
        "shape, or tuple(inputs) if they are the arguments of one pass"
    )


def _has_no_batch_size(inputs: object) -> bool:
    """Return whether inputs are a loader whose items are those of its data set, one by one."""
    return (
        isinstance(inputs, DataLoader)
        and inputs.batch_size is None
        and inputs.batch_sampler is None
        and inputs.collate_fn is default_convert
        and type(inputs.sampler) in (SequentialSampler, RandomSampler)
    )


def _has_items(inputs: object) -> bool:
    return hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")


def _shape(item: object) -> tuple[int, ...]:
    """Return the shape of the first tensor or array of an item; empty if it has none, or is a data frame."""
    leaves = pytree.tree_leaves(dict(item) if isinstance(item, Mapping) else item)
    return next((tuple(leaf.shape) for leaf in leaves if isinstance(leaf, Tensor | np.ndarray)), ())
