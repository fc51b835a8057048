"""`LabelSets`: the labels of the inputs by name, which come apart as arrays, or are found in the batches."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from layerbits._base import Integers, shown
from layerbits.networks.inputs.batches import is_one_batch
from layerbits.networks.inputs.data_frames import row_indices
from layerbits.networks.inputs.order_of_rows import other_order
from layerbits.networks.inputs.read_items import ForwardArguments, find_labels
from layerbits.statistics import class_numbers, label_array

# Name of the label set if the labels are no mapping.
_Y = "Y"

# Names of the other variables of an information.
_VARIABLES = ("X", "T")


class LabelSets:
    """The label sets of a measurement.

    Parameters
    ----------
    labels : object
        Labels, or a key, a position or a function that finds them in a batch, or a mapping of names to these; or None.
    arguments : ForwardArguments
        The arguments of the network.

    Raises
    ------
    TypeError, ValueError
        A mapping is empty or has a key that is no name; labels are a single value.
    """

    def __init__(self, labels: object, arguments: ForwardArguments) -> None:
        self._arguments = arguments
        self._labels = dict(labels) if isinstance(labels, Mapping) else {} if labels is None else {_Y: labels}
        if isinstance(labels, Mapping) and not labels:
            raise ValueError("labels: got an empty mapping, wanted label sets by name, or None")
        if not all(isinstance(name, str) and name.strip() and name.isprintable() for name in self._labels):
            raise TypeError(
                f"labels: got a mapping with keys {shown(list(self._labels))}, wanted printable text for each label set"
            )
        reserved = [name for name in self._labels if name in _VARIABLES]
        if reserved:
            raise ValueError(
                f"labels: got a label set of the name {reserved[0]!r}, wanted another name: I(X;T) is the information "
                "of the input X and the noisy value T"
            )
        scalar = next((labels for labels in self._labels.values() if _is_scalar(labels)), None)
        if scalar is not None:
            raise TypeError(
                f"labels: got a single value of type {type(scalar).__name__}, wanted one label for each input, or the "
                "key (a str) or position (an int) of the labels in a batch, for instance labels=1"
            )
        # The labels that are found in the batches, by label set and batch.
        self._parts: dict[str, list[npt.NDArray[Any]]] = {
            name: [] for name, value in self._labels.items() if _is_label_finder(value)
        }
        self._keys: dict[str, list[object]] = {}

    @property
    def are_in_batches(self) -> bool:
        """Whether some labels are found in the batches."""
        return bool(self._parts)

    @property
    def n_apart(self) -> int | None:
        """Number of the labels that come apart from the batches; None if there are none."""
        apart = (labels for name, labels in self._labels.items() if name not in self._parts)
        return next((len(label_array(labels)) for labels in apart), None)

    @property
    def of_first_batch(self) -> list[npt.NDArray[Any]]:
        """The labels that were found in the first batch, by label set."""
        return [parts[0] for parts in self._parts.values()]

    def check_order(self, inputs: object) -> None:
        """Raise a ValueError if labels come apart from inputs that may give their rows in another order each time.

        A ValueError is also raised if pandas objects have other indices than the first.
        """
        apart = self._labels.keys() - self._parts.keys()
        _check_same_index(inputs, [self._labels[name] for name in apart])
        reason = other_order(inputs) if apart else ""
        if reason:
            raise ValueError(
                f"labels: got an array, whose order is not that of the rows of {reason}, wanted the labels in its "
                "batches, found by their key or position, for instance labels=1; or a loader with shuffle=False and "
                "without a sampler, or an iterable that gives its rows in one order"
            )

    def keep_rows(self, rows: Integers, n_inputs: int) -> None:
        """Keep the labels of some rows only, among labels that come apart from the batches of `n_inputs` inputs.

        Raises
        ------
        TypeError, ValueError
            As `class_numbers` of layerbits.statistics.
        """
        for name in self._labels.keys() - self._parts.keys():
            with _naming_set(name):
                self._labels[name] = class_numbers(self._labels[name], n_inputs)[rows]

    def find(self, batch: object) -> tuple[list[object], dict[str, npt.NDArray[Any]]]:
        """Return the keys or positions of the items that are labels in a batch, and the labels found by label set.

        Raises
        ------
        TypeError, ValueError
            As `find_labels` and `label_array`.
        """
        found: dict[str, npt.NDArray[Any]] = {}
        for name in self._parts:
            keys, values = find_labels(batch, self._labels[name], self._keys.get(name), self._arguments)
            self._keys[name] = keys
            found[name] = label_array(values)
        return [key for keys in self._keys.values() for key in keys], found

    def add(self, found: Mapping[str, npt.NDArray[Any]], n_rows: int, remedy: str) -> None:
        """Add the labels that were found in a batch of `n_rows`; `remedy` is that of `remedy_for_samples`.

        Raises
        ------
        ValueError
            There is not one label, or one one-hot row, for each row of the batch.
        """
        for name, values in found.items():
            if values.shape[:1] != (n_rows,):
                raise ValueError(
                    f"labels: got shape {values.shape} for a batch of {n_rows} rows, wanted ({n_rows},), one label for "
                    f"each row, or one-hot rows; {remedy}"
                )
            self._parts[name].append(values.copy())  # the next batch may have the same memory

    def class_numbers(self, n_read: int, rows: slice | Integers) -> dict[str, Integers]:
        """Return the class numbers of the kept rows, without gaps, by label set; `n_read` rows were read.

        Raises
        ------
        TypeError, ValueError
            As `class_numbers` of layerbits.statistics.
        """
        class_numbers_of = {}
        for name, labels in self._labels.items():
            values = np.concatenate(self._parts[name]) if name in self._parts else labels
            with _naming_set(name):
                kept = class_numbers(values, n_read)[rows]
            class_numbers_of[name] = class_numbers(kept, len(kept))
        return class_numbers_of


@contextlib.contextmanager
def _naming_set(name: str) -> Iterator[None]:
    """Name the label set of a mapping in the errors of the ``with`` block."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if name == _Y:
            raise
        raise type(error)(str(error).replace("labels:", f"labels[{name!r}]:", 1)) from error


def _is_label_finder(labels: object) -> bool:
    """Return whether `labels` is a key, a position or a function that finds the labels in a batch."""
    return isinstance(labels, str) or callable(labels) or (isinstance(labels, int) and not isinstance(labels, bool))


def _is_scalar(labels: object) -> bool:
    """Return whether `labels` is one value, which is neither a label of each input nor a key or position."""
    is_number = isinstance(labels, numbers.Number) and not _is_label_finder(labels)
    return is_number or isinstance(labels, bytes) or getattr(labels, "ndim", None) == 0


def _check_same_index(inputs: object, labels: Sequence[object]) -> None:
    """Raise a ValueError if pandas objects among the inputs and the labels have different indices."""
    indices = row_indices("inputs", inputs)
    if not is_one_batch(inputs) and indices:  # a list of data frames
        indices = [indices[0].append(indices[1:])]
    indices += row_indices("labels", labels)
    for index in indices[1:]:
        if len(index) == len(indices[0]) and not index.equals(indices[0]):
            raise ValueError(
                "labels: got a Series, or inputs of several data frames, of different indices, wanted one index, "
                "because rows are taken in their order; reorder by labels.reindex(frame.index), or, if the rows have "
                "one order, pass labels.to_numpy()"
            )
