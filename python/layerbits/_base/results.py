"""The results of the estimators: frozen values with a unit, conversion to bits, a printed and a notebook form.

A missing standard error is NaN in Python, an empty cell in information.csv, and no text in a printed estimate.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from layerbits._base.earlier_names import missing_attribute
from layerbits._base.notebook_tables import HtmlRow, fixed, html_table

_NATS_PER_BIT = math.log(2.0)

_Self = TypeVar("_Self", bound="Result")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A base of frozen results with a value, an interval and a unit. Missing numbers (NaN) of two results are equal."""

    fields_in_unit: ClassVar[tuple[str, ...]] = ("value", "standard_error", "lower", "upper")
    printed_fields: ClassVar[tuple[str, ...]] = ("value", "lower", "upper", "unit")

    @property
    def bits(self: _Self) -> _Self:
        """The same result in bits."""
        cells = self._cells()
        if cells["unit"] == "bits":
            return self
        in_bits = {name: cells[name] / _NATS_PER_BIT for name in self.fields_in_unit}
        return dataclasses.replace(self, **in_bits, **{"unit": "bits"})

    def __float__(self) -> float:
        return float(self._cells()["value"])

    def _repr_html_(self) -> str:
        return html_table(_names_of(self), [html_row(self)])

    def __repr__(self) -> str:
        cells = self._cells()
        return f"{type(self).__name__}({', '.join(f'{name}={cells[name]!r}' for name in self.printed_fields)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result) or type(other) is not type(self):
            return NotImplemented
        return self._comparable() == other._comparable()

    def __hash__(self) -> int:
        return hash(self._comparable())

    def _cells(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _comparable(self) -> tuple[object, ...]:
        values = self._cells().values()
        return tuple(None if isinstance(value, float) and math.isnan(value) else value for value in values)


def html_row(result: Result, *texts: str, limit: float = math.nan) -> HtmlRow:
    """Return the row of an HTML table for a result: `texts`, then the names of the result, and the interval."""
    cells = result._cells()
    names = (cells[name] for name in _names_of(result))
    return HtmlRow(
        (*texts, *(f"{name:.4g}" if isinstance(name, float) else name for name in names)),
        cells["value"], cells["lower"], cells["upper"], cells["unit"], cells.get("note", ""), cells["flags"], limit,
    )  # fmt: skip


def _names_of(result: Result) -> list[str]:
    """Return the fields that name a result, such as layer and quantity."""
    return [name for name in result.printed_fields if name not in Result.printed_fields]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Estimate(Result):
    """A Monte Carlo estimate with its confidence interval.

    Attributes
    ----------
    value, standard_error : float
        Estimate, which lies in the interval, and its standard error, in `unit`; NaN if the estimate has none.
    lower, upper : float
        Ends of a confidence interval for the estimated quantity, in `unit`.
    confidence : float
        Level of the interval, in (0, 1).
    draws : int
        Number of queries of a mixture; between two layers and of a change, number of passes per input.
    unit : str
        ``"nats"`` or ``"bits"``.
    converged : bool
        False if the half width of the interval exceeds the requested tolerance.
    flags : tuple of str
        Between two layers ``"tail_assumed"``, as in `InformationRow`: `upper` makes this assumption, and `lower` too
        unless the layers are neighbours. A change has the flags of both rows.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> estimate = lb.mixture_information(torch.tensor([[-1.0], [1.0]]), sigma=0.5)
    >>> estimate.lower <= 0.63272 <= estimate.upper, estimate.bits.unit
    (True, 'bits')
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    confidence: float
    draws: int
    unit: str = "nats"
    converged: bool = True
    flags: tuple[str, ...] = ()

    if not TYPE_CHECKING:  # mypy would accept all names

        def __getattr__(self, name: str) -> NoReturn:
            raise missing_attribute("Estimate", name, {"low": "lower", "high": "upper"})

    @property
    def note(self) -> str:
        """Notes in words on a missed tolerance and on an assumption of the ends; empty if there are none."""
        notes = [] if self.converged else [f"tolerance not reached in {self.draws} draws"]
        return "; ".join(notes + [TAIL_SENTENCE] * (TAIL_ASSUMED in self.flags))

    def _repr_html_(self) -> str:
        return html_table((), [html_row(self)._replace(note=self.note)])

    def __str__(self) -> str:
        error = "" if math.isnan(self.standard_error) else f" +- {fixed(self.standard_error, 3)}"
        text = (
            f"{fixed(self.value, 3)}{error} {self.unit} "
            f"({100 * self.confidence:g} %: {fixed(self.lower, 3)} to {fixed(self.upper, 3)})"
        )
        return f"{text}, {self.note}" if self.note else text


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class InformationRow(Result):
    """One quantity of one layer: the columns of `information.csv` without `epoch`, in their order.

    Attributes
    ----------
    layer : str
        Name of the layer; the name of a readout follows in brackets, ``"fc1[mean]"``.
    quantity : str
        ``I(X;T)``, ``I(T;Y)``, ``I(X;T|Y)``, ``h(T)`` or ``h(T|X)``. Slices have symbols of their own in place of I:
        ``SI_k`` for the mean over random slices, ``PI_k`` for the principal and ``LI_k`` for the learnt slice.
    estimator : str
        Name of the estimator.
    value, standard_error : float
        Point estimate, which lies in the interval, and its standard error, in `unit`. If this interval or the one from
        the layer's own bounds is wider than 0.5 nats, the value is the midpoint of this interval, and the standard
        error is NaN.
    lower, upper : float
        Ends of a confidence interval for the true quantity, in `unit`.
    unit : str
        ``"nats"`` or ``"bits"``.
    draws : int
        Noisy passes of each input behind the value.
    seconds : float
        Time to estimate all quantities of the layer, without the first passes, which all layers share.
    note : str
        Notes of the audits, on a missed tolerance, and on an assumption, in words; empty if there are none.
    plug_in, plug_in_error : float
        Plug-in bound and its standard error, in `unit`.
    decoded, decoded_error : float
        Decoder bound and its standard error, in `unit`.
    decoder : str
        Name of the decoder; ``"exact"`` for a known channel, ``"known network"`` where the network gives this bound.
    limited_by : str
        Main cause of the interval's width: ``"queries"``; ``"draws"`` (the bias of the plug-in bound); ``"decoder"``;
        ``"draws or decoder"`` (the draws are too few to tell which bound is off); ``"dimensions"`` (left out by the
        measurement); ``"frames"`` (the sampling of random slices); or ``"samples"`` (of the noises behind a query,
        where the known network gives the narrower interval). Empty if the ends are equal.
    flags : tuple of str
        Flags of the notes. ``"saturated"``: I(X;T) may be log N, and its lower end is as near as the queries allow.
        ``"tolerance_missed"``: the interval is wider than `tolerance` allows. ``"data_processing"``: an end comes from
        another layer of a chain. ``"above_previous_layer"``: I(X;T) is larger than that of an earlier layer of a chain.
        ``"above_ceiling"``: the plug-in bound is larger than the entropies of X and Y allow. ``"ends_cross"``: `lower`
        is above `upper`. ``"above_larger_view"``: a slice has more information than the layer, or than larger random
        slices. ``"sum_differs"``: I(X;T) is not the sum of I(T;Y) and I(X;T|Y).
        ``"tail_assumed"``: the upper end of an entropy behind noise assumes that no signal is more than 10 times as
        far from their center as the signals of a pilot. Layers of tanh, sigmoid and other bounded activation functions
        need no such assumption.

        Flags of the measurement. ``"measurement_noise"``: the measurement adds the noise; the network runs without
        noise. ``"before_rounding"``: T is the sum of signal and noise before rounding to float16 or bfloat16. The
        rounded T carries no more information, but a mean of rounded values may. ``"other_output"``: the layer returns
        several tensors, the first has the noise, and a later layer uses another one, so that the layer is in no chain.
        ``"masked"``: a readout of the tokens that a mask keeps, a function of T and the mask.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> row = lb.layer_information(model, torch.eye(2), sigma=0.5)["1", "I(X;T)"]
    >>> row.lower <= float(row) <= row.upper, row.decoder, row.flags
    (True, 'exact', ('measurement_noise',))
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
    flags: tuple[str, ...] = ()

    fields_in_unit: ClassVar[tuple[str, ...]] = (
        *Result.fields_in_unit,
        "plug_in",
        "plug_in_error",
        "decoded",
        "decoded_error",
    )
    printed_fields: ClassVar[tuple[str, ...]] = ("layer", "quantity", *Result.printed_fields)

    def __str__(self) -> str:
        return row_text(self)


def row_text(row: InformationRow, width: int = 8) -> str:
    """Return a row without its layer as text, with the symbol of the quantity in `width` characters."""
    text = f"{row.quantity:<{width}}  {fixed(row.value):>9} {row.unit}  [{fixed(row.lower)}, {fixed(row.upper)}]"
    return f"{text}  ({row.note})" if row.note else text


MEASUREMENT_NOISE, BEFORE_ROUNDING, OTHER_OUTPUT = "measurement_noise", "before_rounding", "other_output"
MASKED = "masked"
TAIL_ASSUMED = "tail_assumed"
TAIL_SENTENCE = "assumes that no signal lies 10 times as far from the center as in a pilot"
