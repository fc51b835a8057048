"""`other_order`: whether inputs give their rows in another order than that of labels apart from them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler

from layerbits.networks.execution.global_generators import global_states_restored
from layerbits.networks.inputs.batches import is_one_batch
from layerbits.networks.inputs.data_frames import is_frame

# Number of rows of an iterable data set, and of batches of another iterable, that are read twice.
_ROWS, _BATCHES = 16, 1


def other_order(inputs: object) -> str:
    """Return which object gives rows in another order than labels apart have, for a message; empty if none is known to.

    Iterables that can be read again are read twice at their beginning, with other states of the global generators.
    """
    if isinstance(inputs, DataLoader):
        if isinstance(inputs.dataset, IterableDataset):
            if inputs.num_workers > 1:
                return "a DataLoader of an IterableDataset with several workers"
            return _other_rows(inputs.dataset, _ROWS)
        if not _is_ordered(inputs):
            return "a DataLoader with a sampler, such as shuffle=True"
        in_order = inputs.num_workers == 0 or getattr(inputs, "in_order", True)  # since torch 2.6
        return "" if in_order else "a DataLoader with in_order=False"
    if isinstance(inputs, IterableDataset):
        return _other_rows(inputs, _ROWS)
    if is_one_batch(inputs) or isinstance(inputs, Sequence | Iterator | Dataset) or not isinstance(inputs, Iterable):
        return ""
    return _other_rows(inputs, _BATCHES)


def _is_ordered(loader: DataLoader[Any]) -> bool:
    """Return whether a loader gives its rows in the order of its data set, as far as its samplers show it."""
    sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    if type(sampler) is BatchSampler:
        sampler = sampler.sampler
    return type(sampler) is SequentialSampler


def _other_rows(inputs: Iterable[Any], n_items: int) -> str:
    with global_states_restored():
        first = copy.deepcopy(list(itertools.islice(inputs, n_items)))  # the second reading may overwrite the items
        torch.rand(1)  # a shuffling iterable may take its seed from the global generator
        second = list(itertools.islice(inputs, n_items))
    leaves, other_leaves = pytree.tree_leaves(first), pytree.tree_leaves(second)
    if len(leaves) == len(other_leaves) and all(map(_are_equal, leaves, other_leaves)):
        return ""
    return f"{type(inputs).__name__}, which gives other rows when it is read again"


def _are_equal(value: Any, other: Any) -> bool:
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.shape == other.shape and bool(((value == other) | (value != value)).all())  # or both NaN
    if isinstance(value, Mapping):  # no dict, such as a BatchEncoding of transformers, whose == compares tensors
        return value.keys() == other.keys() and all(_are_equal(value[key], other[key]) for key in value)
    if is_frame(value):
        return bool(value.equals(other))
    return bool(value == other)
