"""What the estimators return: frozen values that know their unit and how they print. Imports nothing of ours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas

_NATS_PER_BIT = math.log(2.0)
_ESTIMATED = ("value", "standard_error")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A Monte Carlo estimate with its confidence interval.

    Attributes
    ----------
    value, standard_error : float
        In `unit`.
    lower, upper : float
        Confidence interval for the estimated quantity, in `unit`.
    confidence : float
        Level of the interval, in (0, 1).
    draws : int
        Noise draws that were spent.
    unit : str
        ``"nats"`` or ``"bits"``.
    converged : bool
        False when the budget of draws ended before the tolerance asked for was met.
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    confidence: float
    draws: int
    unit: str = "nats"
    converged: bool = True

    @property
    def bits(self) -> Estimate:
        """The same estimate in bits."""
        return _in_bits(self, (*_ESTIMATED, "lower", "upper"))

    def __str__(self) -> str:
        text = (
            f"{self.value:.3f} ± {self.standard_error:.3f} {self.unit} "
            f"({100 * self.confidence:g} %: {self.lower:.3f} to {self.upper:.3f})"
        )
        return text if self.converged else f"{text}, budget of {self.draws} draws ended before the tolerance"


@dataclasses.dataclass(frozen=True)
class InformationRow:
    """One quantity of one layer; the columns of `information.csv` without `epoch`, in their order.

    `quantity` is one of ``I(X;T)``, ``I(T;Y)``, ``I(X;T|Y)``, ``h(T)``, ``h(T|X)``; `value` is the best estimate, and
    `lower` to `upper` a confidence interval for the true quantity, in `unit`; `draws` counts the noisy passes per input
    behind the value; `seconds` is what measuring the layer took, the same in all rows of a layer; `note` holds the
    notices of the audits, empty when there are none. `plug_in` and `decoded`, with their standard errors, are
    the bounds on the two sides, by draws and by the `decoder`; `limited_by` says what the width of the interval is due
    to most: ``"queries"``, ``"draws"``, ``"decoder"`` or ``"dimensions"`` that were left out.
    """

    layer: str
    quantity: str
    estimator: str
    value: float
    standard_error: float
    lower: float
    upper: float
    unit: str
    draws: int
    seconds: float
    note: str = ""
    plug_in: float = math.nan
    plug_in_error: float = math.nan
    decoded: float = math.nan
    decoded_error: float = math.nan
    decoder: str = ""
    limited_by: str = ""

    @property
    def bits(self) -> InformationRow:
        """The same row in bits."""
        return _in_bits(self, (*_ESTIMATED, "lower", "upper", "plug_in", "plug_in_error", "decoded", "decoded_error"))

    def __str__(self) -> str:
        text = f"{self.quantity:<8}  {self.value:9.4f} {self.unit}  [{self.lower:.4f}, {self.upper:.4f}]"
        return f"{text}  ({self.note})" if self.note else text


@dataclasses.dataclass(frozen=True)
class InformationTable:
    """Information per layer, a row for each (layer, quantity), in the order in which data meets the layers."""

    rows: tuple[InformationRow, ...]

    def __iter__(self) -> Iterator[InformationRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[str, str]) -> InformationRow:
        """Return the row of ``(layer, quantity)``; KeyError names what there is."""
        for row in self.rows:
            if (row.layer, row.quantity) == key:
                return row
        known = ", ".join(repr((row.layer, row.quantity)) for row in self.rows)
        raise KeyError(f"no row {key!r}; the table has {known}")

    @property
    def bits(self) -> InformationTable:
        """The same table in bits."""
        return InformationTable(tuple(row.bits for row in self.rows))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with a column for each field of a row (pandas is in the extra `experiments`)."""
        import pandas  # optional: only this method needs it

        return pandas.DataFrame([dataclasses.asdict(row) for row in self.rows], columns=COLUMNS)

    def __str__(self) -> str:
        width = max((len(row.layer) for row in self.rows), default=0)
        return "\n".join(f"{row.layer:<{width}}  {row}" for row in self.rows)


_Result = TypeVar("_Result", Estimate, InformationRow)

COLUMNS = [field.name for field in dataclasses.fields(InformationRow)]


def _in_bits(result: _Result, fields: tuple[str, ...]) -> _Result:
    if result.unit == "bits":
        return result
    scaled = {name: getattr(result, name) / _NATS_PER_BIT for name in fields}
    return dataclasses.replace(result, unit="bits", **scaled)
