"""Notes of the audits on estimates that violate theory by more than the error, and on saturation.

Every note has a flag in the row, for programs, and a sentence, for readers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from layerbits._base import TAIL_ASSUMED, TAIL_SENTENCE, InformationRow
from layerbits.estimators.sigma_profile_table import SigmaRow
from layerbits.statistics import Interval

_Row = TypeVar("_Row", InformationRow, SigmaRow)

# A violation of theory below this is not noted (nats).
MARGIN = 1e-3

# An I(X;T) that may be log N is saturated if its lower end is below log N by at most the first number times the least
# possible distance, and at most the second number times log N: with few queries even separated inputs leave a lower end
# far from log N, which shows nothing.
_ALLOWANCES, _LARGEST_SHARE = 1.5, 0.1

# A plug-in bound counts as above its ceiling from this number of standard errors on.
_STANDARD_ERRORS = 3

SENTENCES = {
    "saturated": "saturated: at most {shortfall:.4f} nats below log N",
    "tolerance_missed": "tolerance {tolerance:g} not reached within {limit}, {limited} by {cause}: {remedy}",
    "data_processing": "{ends}",
    "above_previous_layer": "above {layer!r} before it: take more {means}",
    "above_ceiling": "above its ceiling {ceiling:.4f}: take more {means}",
    "ends_cross": "its bounds exclude each other: take more {means}",
    "sum_differs": "I(X;T) is not the sum of I(T;Y) and this: take more {means}",
    "above_larger_view": "above {view}, which contains it: take more {means}",
    TAIL_ASSUMED: TAIL_SENTENCE,
    "below_larger_sigma": "below that at sigma = {sigma:g}: raise queries",
}
"""The sentence of each flag of a note; `InformationRow` and `SigmaRow` describe the flags."""

Notes = Sequence[tuple[str, str]]
"""Pairs of a flag and its sentence."""


def note(flag: str, **values: object) -> tuple[str, str]:
    """Return a flag and its sentence with values."""
    return flag, SENTENCES[flag].format(**values)


@dataclasses.dataclass(frozen=True)
class Shortfall:
    """The reason for which an interval is wider than the tolerance.

    Attributes
    ----------
    tolerance : float
        Wanted half width.
    limit : str
        The limit that ended the rounds, in words.
    cause : str
        Main cause of the width of the interval from the layer's own bounds, as `TwoSidedEstimate.limited_by`.
    remedy : str
        The options that narrow the interval, in words.
    is_combined : bool
        Whether the interval has an end of another layer.
    """

    tolerance: float
    limit: str
    cause: str
    remedy: str
    is_combined: bool = False

    @property
    def note(self) -> tuple[str, str]:
        """The flag and its sentence."""
        return note("tolerance_missed", limited="own bounds limited" if self.is_combined else "limited", **vars(self))


def options_of(row: InformationRow) -> str:
    """Return the options whose increase narrows the interval of a row; a known channel or network has no draws."""
    return "draws or queries" if row.draws > 1 else "queries"


def noted(row: _Row, notes: Notes) -> _Row:
    """Return the row with notes, whose flags follow those that the row has."""
    flags = (*row.flags, *(flag for flag, _ in notes))
    return dataclasses.replace(row, note="; ".join(sentence for _, sentence in notes), flags=flags)


def noted_too(row: InformationRow, further: tuple[str, str]) -> InformationRow:
    """Return the row with a further note, a flag and its sentence, after those that it has."""
    flag, sentence = further
    return dataclasses.replace(row, note="; ".join(filter(None, (row.note, sentence))), flags=(*row.flags, flag))


def with_notes(
    rows: Sequence[InformationRow],
    previous: InformationRow | None,
    ceilings: Mapping[str, float],
    shortfall: Shortfall | None,
    separated_lower: float,
    taken: Mapping[str, str] = MappingProxyType({}),
) -> list[InformationRow]:
    """Return the rows of a layer with their notes.

    Parameters
    ----------
    rows : sequence of InformationRow
        The quantities of the layer, I(X;T) among them.
    previous : InformationRow or None
        I(X;T) of the earlier layer of the chain with the least upper end; None if there is no such layer.
    ceilings : mapping of str to float
        Largest value of each information that the entropies of X and Y allow.
    shortfall : Shortfall or None
        Why the tolerance was missed; None otherwise.
    separated_lower : float
        The lower end of I(X;T) for the same number of queries, if they separate all inputs.
    taken : mapping of str to str
        The ends of a quantity that come from other layers, in words.
    """
    by_quantity = {row.quantity: row for row in rows}
    notes: dict[str, list[tuple[str, str]]] = {quantity: [] for quantity in by_quantity}
    if shortfall is not None:
        notes["I(X;T)"].append(shortfall.note)
    for quantity, ends in taken.items():
        notes[quantity].append(note("data_processing", ends=ends))
    for quantity, row in by_quantity.items():
        if row.lower > row.upper:
            notes[quantity].append(note("ends_cross", means=options_of(row)))
        ceiling = ceilings.get(quantity, math.inf)
        if row.plug_in - row.plug_in_error * _STANDARD_ERRORS > ceiling + MARGIN:
            notes[quantity].append(note("above_ceiling", ceiling=ceiling, means=options_of(row)))
    information = by_quantity["I(X;T)"]
    interval = Interval(information.lower, information.upper)
    notes["I(X;T)"] += saturation_notes(interval, ceilings["I(X;T)"], separated_lower)
    if previous is not None and information.lower > previous.upper + MARGIN:
        notes["I(X;T)"].append(note("above_previous_layer", layer=previous.layer, means=options_of(information)))
    if "I(X;T|Y)" in by_quantity and not _is_sum(by_quantity):
        notes["I(X;T|Y)"].append(note("sum_differs", means=options_of(by_quantity["I(X;T|Y)"])))
    return [noted(row, notes[row.quantity]) for row in rows]


def saturation_notes(interval: Interval, log_n: float, separated_lower: float) -> Notes:
    """Return the note that an interval of I(X;T) holds log N and its lower end is as near as the queries allow.

    Parameters
    ----------
    separated_lower : float
        The lower end for the same number of queries, if they separate all inputs.
    """
    shortfall = max(0.0, log_n - interval.lower)
    allowed = max(MARGIN, _ALLOWANCES * (log_n - separated_lower))
    may_be_log_n = log_n > 0 and interval.upper >= log_n - MARGIN
    is_saturated = may_be_log_n and shortfall <= min(allowed, _LARGEST_SHARE * log_n)
    rounded_up = max(math.ceil(shortfall * 1e4), 1) / 1e4  # the sentence stays true
    return [note("saturated", shortfall=rounded_up)] if is_saturated else []


def _is_sum(rows: Mapping[str, InformationRow]) -> bool:
    """Return whether I(X;T) can be the sum of I(T;Y) and I(X;T|Y), by their intervals."""
    information, parts = rows["I(X;T)"], (rows["I(T;Y)"], rows["I(X;T|Y)"])
    lower, upper = sum(part.lower for part in parts), sum(part.upper for part in parts)
    return lower <= information.upper + MARGIN and information.lower - MARGIN <= upper
