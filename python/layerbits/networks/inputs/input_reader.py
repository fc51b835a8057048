"""Read inputs and labels, in all accepted forms, into `PassInputs`."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from layerbits._base import refuse_sparse
from layerbits.networks.execution.arguments import MAX_MEMORY, check_module
from layerbits.networks.inputs.batches import (
    as_data_set,
    batches_of,
    check_dropped_rows,
    check_memory_of_rows,
    has_rows,
    is_one_batch,
    may_be_endless,
    may_reuse_memory,
    no_batch,
    remedy_for_samples,
)
from layerbits.networks.inputs.kept_rows import KeptRows, RandomSubset
from layerbits.networks.inputs.label_sets import LabelSets
from layerbits.networks.inputs.lists_of_batches import check_are_batches
from layerbits.networks.inputs.pass_inputs import PassInputs, check_same_form, inputs_of_batch
from layerbits.networks.inputs.placement import floating_point_parameter, loader_device
from layerbits.networks.inputs.read_items import ForwardArguments, without_items
from layerbits.networks.inputs.whole_numbers import positions_to_convert


def read_inputs(
    inputs: object,
    model: nn.Module,
    labels: object = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    max_memory: int = MAX_MEMORY,
) -> PassInputs:
    """Read inputs and their labels, all of them or a random subset.

    Parameters
    ----------
    inputs : object
        One batch: a tensor, array or data frame of shape (n, ...), a tuple of positional arguments, or a mapping of
        arguments by name. Or a data set, a loader, a list or another iterable of such batches, in which a list holds
        positional arguments too. Arguments are tensors, arrays, data frames, and tuples, lists and dicts of them; None,
        numbers and strings are the same in every pass.
    model : torch.nn.Module
        Arrays are moved to the device of its first floating-point parameter, and floating-point arrays get the dtype of
        that parameter. If the network does not take them as they are, whole numbers and booleans of a data frame get
        this dtype too, and floating-point tensors if it is float32 or float64. A pass moves the tensors of an iterable
        of batches to that device.
    labels : object
        Labels of the inputs as in `class_numbers`; a key, position or function that finds the labels in a batch, from
        whose arguments they are removed; or a mapping of names to any of these. A function gets the batches as they
        are, before their tensors are moved to the device of the network. If one item is left of a tuple or list, it may
        hold all arguments: a mapping of their names, or at least two that the network requires. Labels apart from the
        batches of an iterable must have the order of its rows.
    limit : int, optional
        Largest number of rows to keep, sampled at random; by default all rows are kept. Only these rows of a data set
        are read. Of an iterable of unknown length, only the batches with the first 100 x `limit` rows are read.
    seed : int
        Seed of the subset.
    max_memory : int
        Largest number of bytes of batches that are kept in memory; if there are more, the rows are kept in a temporary
        file. One batch, and a random subset of a loader or an iterable, are kept in memory.

    Raises
    ------
    TypeError, ValueError
        `model` is not a module; `limit` is not a positive integer; inputs are of another type or layout, differ in
        their number of rows, are empty, or contain NaN or infinity (apart from -inf if there are several tensors, as in
        a mask); a column of a data frame has values other than finite numbers and booleans; batches differ in their
        shapes, dtypes or constants; rows of a data set share the memory of one tensor; labels are not found, come apart
        from a loader with a sampler, have another index than a data frame, or are not as in `class_numbers`.
    OSError
        A temporary file cannot be written.
    """
    check_module(model)
    refuse_sparse("inputs", inputs)
    inputs = as_data_set(inputs)
    reader = _Reader(model, labels, RandomSubset(limit, seed), math.inf if is_one_batch(inputs) else max_memory)
    reader.copies, reader.remedy = may_reuse_memory(inputs), remedy_for_samples(inputs)
    reader.labels.check_order(inputs)
    if not reader.labels.are_in_batches:
        check_are_batches(inputs, reader.labels.n_apart)
    read = reader.choose_rows(inputs) if limit is not None and has_rows(inputs) else inputs
    with contextlib.closing(batches_of(read)) as batches:
        for batch in batches:
            reader.add(batch)
            if reader.subset.is_sampled and may_be_endless(inputs):
                warnings.warn(
                    f"limit: got {limit} for inputs of unknown length, which takes a random subset of the first "
                    f"{reader.subset.n_read} rows; for one of all rows, pass inputs with __len__",
                    stacklevel=3,
                )
                break
    if reader.first_batch is None:
        raise no_batch(inputs)
    reader.check_memory(inputs)
    check_dropped_rows(inputs, reader.subset.n_read, reader.labels.n_apart)
    return reader.result(loader_device(inputs, model))


def arguments_of_batches(inputs: object, model: nn.Module) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield the positional and keyword arguments of a pass of each batch of the inputs.

    Raises
    ------
    TypeError, ValueError
        As `read_inputs`; batches may differ in their shapes, dtypes and constants.
    """
    check_module(model)
    refuse_sparse("inputs", inputs)
    inputs = as_data_set(inputs)
    check_are_batches(inputs)
    batch = None
    with contextlib.closing(batches_of(inputs)) as batches:
        for batch in batches:
            reader = _Reader(model, None, RandomSubset(None, 0), math.inf)
            reader.remedy = remedy_for_samples(inputs)
            reader.add(batch)
            reader.check_memory(inputs)
            rows = reader.result(loader_device(inputs, model))
            yield rows.arguments(rows.tensors)
    if batch is None:
        raise no_batch(inputs)


class _Reader:
    """Reads the batches of the inputs of a network."""

    def __init__(self, model: nn.Module, labels: object, subset: RandomSubset, max_memory: float) -> None:
        self.model = model
        self.subset = subset
        self.max_memory = max_memory
        self.arguments = ForwardArguments.of(model)
        self.labels = LabelSets(labels, self.arguments)
        self.copies = False  # whether a batch may be overwritten after `add`
        self.remedy = ""  # remedy for items that seem to be samples
        self.converted: tuple[int, ...] | None = None  # the tensors that `positions_to_convert` returns
        self.first_batch: PassInputs | None = None
        self.kept_rows: list[KeptRows] = []  # the rows of each tensor among the arguments

    def choose_rows(self, dataset: Any) -> Dataset[Any]:
        """Choose the random subset before a data set is read, and return the data set of these rows."""
        self.subset.add(len(dataset))
        rows, self.subset = self.subset.rows, RandomSubset(None, 0)
        self.labels.keep_rows(rows, len(dataset))
        return Subset(dataset, rows.tolist())

    def add(self, batch: object) -> None:
        """Add the rows of a batch."""
        keys, found = self.labels.find(batch)
        rows = without_items(batch, keys, self.arguments)
        inputs = self._converted(inputs_of_batch(rows, self.model, self.remedy))
        if self.copies:
            inputs = dataclasses.replace(inputs, tensors=tuple(tensor.clone() for tensor in inputs.tensors))
        self.labels.add(found, len(inputs), self.remedy)
        if self.first_batch is None:
            self.first_batch, self.kept_rows = inputs, [KeptRows() for _ in inputs.tensors]
        check_same_form(self.first_batch, inputs)
        positions = self.subset.add(len(inputs))
        for rows, tensor in zip(self.kept_rows, inputs.tensors, strict=True):
            if positions is None:
                rows.add(tensor)
            else:
                rows.replace(tensor, positions)
        if positions is None and sum(rows.nbytes for rows in self.kept_rows) > self.max_memory:
            for rows in self.kept_rows:
                rows.move_to_file()

    def check_memory(self, inputs: object) -> None:
        """Raise a ValueError if all rows or labels of the first batch are equal because they share one memory."""
        assert self.first_batch is not None
        arrays: list[Any] = [*self.first_batch.tensors, *self.labels.of_first_batch]
        if any(
            len(array) > 1 and (array[:2] == array[:1]).all() and (array == array[:1]).all()  # the first two at first
            for array in arrays
        ):
            check_memory_of_rows(inputs)

    def result(self, device: torch.device | None) -> PassInputs:
        """Return the inputs and labels of all batches."""
        assert self.first_batch is not None
        positions = slice(None) if self.subset.limit is None else self.subset.rows
        tensors = tuple(rows.tensor() for rows in self.kept_rows)
        return dataclasses.replace(
            self.first_batch,
            tensors=tensors,
            labels=self.labels.class_numbers(self.subset.n_read, positions),
            device=device,
        )

    def _converted(self, inputs: PassInputs) -> PassInputs:
        """Convert tensors to the dtype of the network, unless it takes them as they are.

        These are whole numbers of data frames, and floating-point tensors if the network has float32 or float64.
        """
        parameter = floating_point_parameter(self.model)
        if parameter is None:
            return inputs
        is_wide = parameter.dtype in (torch.float32, torch.float64)
        other = [
            position
            for position, tensor in enumerate(inputs.tensors)
            if (
                is_wide and tensor.dtype != parameter.dtype
                if tensor.is_floating_point()
                else inputs.from_frames[position]
            )
        ]
        if not other:
            return inputs
        if self.converted is None:
            arguments = dataclasses.replace(inputs, device=parameter.device).arguments  # a loader's tensors are moved
            self.converted = positions_to_convert(self.model, arguments, inputs.tensors, other, parameter.dtype)
        tensors = (
            tensor.to(parameter.dtype) if position in self.converted else tensor
            for position, tensor in enumerate(inputs.tensors)
        )
        return dataclasses.replace(inputs, tensors=tuple(tensors))
