"""The quantities that are measured at a layer: entropies of T under conditions, and their differences."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


class Condition(enum.Enum):
    """The condition of a density of T: the input, the class of the input, or none."""

    INPUT = "X"
    CLASS = "Y"
    NONE = ""


@dataclasses.dataclass(frozen=True)
class ByCondition(Generic[_Value]):
    """A value for each condition: p(t|x), p(t|y) with y the class of x, and p(t)."""

    given_input: _Value
    given_class: _Value
    marginal: _Value

    def __getitem__(self, condition: Condition) -> _Value:
        """Return the value under a condition."""
        if condition is Condition.INPUT:
            return self.given_input
        return self.given_class if condition is Condition.CLASS else self.marginal

    def map(self, function: Callable[[_Value], _Result]) -> ByCondition[_Result]:
        """Apply a function to each value, but once if p(t|y) and p(t) share a value because there is a single class."""
        marginal = function(self.marginal)
        in_class = marginal if self.given_class is self.marginal else function(self.given_class)
        return ByCondition(function(self.given_input), in_class, marginal)


@dataclasses.dataclass(frozen=True)
class Quantity:
    """An entropy h(T|A), or an information h(T|A) - h(T|B).

    Attributes
    ----------
    name : str
        Name in the tables, for instance ``"I(X;T)"``.
    minuend : Condition
        Condition A.
    subtrahend : Condition or None
        Condition B; None for an entropy.
    """

    name: str
    minuend: Condition
    subtrahend: Condition | None = None

    @property
    def is_entropy(self) -> bool:
        """Whether the quantity is an entropy, which has no upper limit."""
        return self.subtrahend is None


QUANTITIES = (
    Quantity("I(X;T)", Condition.NONE, Condition.INPUT),
    Quantity("h(T)", Condition.NONE),
    Quantity("h(T|X)", Condition.INPUT),
    Quantity("I(T;Y)", Condition.NONE, Condition.CLASS),
    Quantity("I(X;T|Y)", Condition.CLASS, Condition.INPUT),
)
