"""The classes of the inputs, and the ceilings of information that follow from them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from layerbits._base import Array, Doubles, Integers
from layerbits.statistics import QUANTITIES, Condition, Quantity, ceilings, class_numbers, largest_terms


@dataclasses.dataclass(frozen=True)
class Classes:
    """The class of each of N inputs; a single class if there are no labels.

    Attributes
    ----------
    numbers : integer array of shape (N,)
        The class of each input: 0, 1, ...
    labelled : bool
        Whether Y is measured.
    """

    numbers: Integers
    labelled: bool

    @classmethod
    def of(cls, labels: Array | None, n_inputs: int) -> Classes:
        """Return the classes of labels, as for `class_numbers`, or a single class if `labels` is None."""
        if labels is None:
            return cls(np.zeros(n_inputs, np.int64), labelled=False)
        return cls(class_numbers(labels, n_inputs), labelled=True)

    @property
    def labels(self) -> Integers | None:
        """The class of each input; None without labels."""
        return self.numbers if self.labelled else None

    @functools.cached_property
    def members(self) -> tuple[Integers, ...]:
        """The inputs of each class, in ascending order."""
        order = np.argsort(self.numbers, kind="stable")
        return tuple(np.split(order, np.cumsum(np.bincount(self.numbers))[:-1]))

    @property
    def n_inputs(self) -> int:
        """Number of inputs, N."""
        return len(self.numbers)

    def sizes(self, inputs: Integers) -> Doubles:
        """Return the sizes (n, 1) of the classes of some inputs (n,)."""
        return np.bincount(self.numbers)[self.numbers[inputs]][:, None].astype(np.float64)

    @functools.cached_property
    def ceilings(self) -> Mapping[str, float]:
        """Largest value of each measured information that the entropies of X and Y allow, in nats, by quantity."""
        return ceilings(self.n_inputs, self.labels)

    @functools.cached_property
    def largest_terms(self) -> Mapping[str, float]:
        """Largest information that a single value of T can carry, in nats; it may exceed the ceiling of the mean."""
        return largest_terms(self.n_inputs, self.labels)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The measured quantities; without labels, only quantities that do not involve Y."""
        return tuple(
            quantity
            for quantity in QUANTITIES
            if self.labelled or Condition.CLASS not in (quantity.minuend, quantity.subtrahend)
        )


def classes_by_label_set(numbers_by_name: Mapping[str, Integers], n_inputs: int) -> dict[str, Classes]:
    """Return the classes by the name of the label set; without label sets, a single class under the name "Y"."""
    classes = {name: Classes(numbers, labelled=True) for name, numbers in numbers_by_name.items()}
    return classes or {"Y": Classes.of(None, n_inputs)}


def limits_by_symbol(label_sets: Mapping[str, Classes]) -> dict[str, float]:
    """Return the largest value of each information, in nats, by its symbol in a table."""
    return {
        quantity.replace("Y", name): limit
        for name, classes in label_sets.items()
        for quantity, limit in classes.ceilings.items()
    }


def quantity_names(label_sets: Mapping[str, Classes]) -> list[str]:
    """Return the quantities of a layer: I(X;T), h(T), h(T|X), and I(T;Y), I(X;T|Y) for each label set."""
    names = (
        quantity.name.replace("Y", name) for name, classes in label_sets.items() for quantity in classes.quantities
    )
    return list(dict.fromkeys(names))
