"""The result of `sigma_profile`: rows by layer, sigma and quantity."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerbits._base import Result, fixed

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True, eq=False)
class SigmaRow(Result):
    """A quantity of a layer at one sigma.

    Attributes
    ----------
    layer : str
        Name of the layer; empty if there is a single, unnamed layer.
    sigma : float
        Standard deviation of the noise.
    quantity : str
        ``"I(X;T)"``, ``"I(T;Y)"`` or ``"I(X;T|Y)"``.
    value, standard_error : float
        Point estimate, which lies in the interval, and its standard error, in `unit`. If the interval is wider than 0.5
        nats, the value is its midpoint, and the standard error is NaN.
    lower, upper : float
        Confidence interval, in `unit`.
    unit : str
        ``"nats"`` or ``"bits"``.
    note : str
        Notes of the audits, in words; empty if there are none.
    flags : tuple of str
        The notes: ``"saturated"``, as in `InformationRow`; ``"below_larger_sigma"``: the information is smaller than at
        a larger sigma, which theory rules out.
    """

    layer: str
    sigma: float
    quantity: str
    value: float
    standard_error: float
    lower: float
    upper: float
    unit: str = "nats"
    note: str = ""
    flags: tuple[str, ...] = ()

    @property
    def bits(self) -> SigmaRow:
        """The same row in bits."""
        if self.unit == "bits":
            return self
        scaled = {name: getattr(self, name) / math.log(2) for name in ("value", "standard_error", "lower", "upper")}
        return dataclasses.replace(self, unit="bits", **scaled)


@dataclasses.dataclass(frozen=True)
class SigmaProfile:
    """The rows of `sigma_profile`: by layer, then by sigma in the order of the argument, then by quantity."""

    rows: tuple[SigmaRow, ...]

    def __iter__(self) -> Iterator[SigmaRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bits(self) -> SigmaProfile:
        """The same profile in bits."""
        return SigmaProfile(tuple(row.bits for row in self.rows))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with a column for each field of a row (pandas is in the extra `experiments`)."""
        import pandas  # an optional dependency of this method alone

        columns = [field.name for field in dataclasses.fields(SigmaRow)]
        return pandas.DataFrame([dataclasses.astuple(row) for row in self.rows], columns=columns)

    def __str__(self) -> str:
        width = max((len(row.layer) for row in self.rows), default=0)
        return "\n".join(
            f"{row.layer:<{width}}  {row.sigma:8.4g}  {row.quantity:<8}  {fixed(row.value):>9} {row.unit} "
            f"({fixed(row.lower)} to {fixed(row.upper)})" + (f"  ({row.note})" if row.note else "")
            for row in self.rows
        )
