"""Notes of the audits on estimates that violate theory by more than the error, and on saturation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from layerbits._base import InformationRow

# An I(X;T) this near to log N is saturated; a violation of theory below this is not noted (nats).
MARGIN = 1e-3

SATURATED = "saturated at log N: the inputs are separated, and no more is known"

# A plug-in bound counts as above its ceiling from this number of standard errors on.
_STANDARD_ERRORS = 3


def with_notes(
    rows: Sequence[InformationRow], previous: InformationRow | None, ceilings: Mapping[str, float], shortfall: str
) -> list[InformationRow]:
    """Return the rows of a layer with their notes.

    Parameters
    ----------
    rows : sequence of InformationRow
        The quantities of the layer, I(X;T) among them.
    previous : InformationRow or None
        I(X;T) of the layer before; None for the first layer, and for layers in no chain.
    ceilings : mapping of str to float
        Largest value of each information that the entropies of X and Y allow.
    shortfall : str
        Why the tolerance was missed; empty otherwise.
    """
    by_quantity = {row.quantity: row for row in rows}
    notes: dict[str, list[str]] = {quantity: [] for quantity in by_quantity}
    if shortfall:
        notes["I(X;T)"].append(shortfall)
    for quantity, row in by_quantity.items():
        if row.lower > row.upper:
            notes[quantity].append("its bounds exclude each other: raise draws")
        ceiling = ceilings.get(quantity, math.inf)
        if row.plug_in - row.plug_in_error * _STANDARD_ERRORS > ceiling + MARGIN:
            notes[quantity].append(f"above its ceiling {ceiling:.4f}: raise draws or queries")
    notes["I(X;T)"] += _notes_on_information(by_quantity["I(X;T)"], previous, ceilings["I(X;T)"])
    if "I(X;T|Y)" in by_quantity and not _is_sum(by_quantity):
        notes["I(X;T|Y)"].append("I(X;T) is not the sum of I(T;Y) and this: raise draws or queries")
    return [dataclasses.replace(row, note="; ".join(notes[row.quantity])) for row in rows]


def _notes_on_information(information: InformationRow, previous: InformationRow | None, log_n: float) -> list[str]:
    """Return the notes on I(X;T) from comparisons with log N and the layer before."""
    notes = []
    if 0 < log_n <= min(information.plug_in, information.upper) + MARGIN:
        notes.append(SATURATED)
    if previous is not None and information.lower > previous.upper + MARGIN:
        notes.append(f"above {previous.layer!r} before it: raise draws, or the layers are no chain")
    return notes


def _is_sum(rows: Mapping[str, InformationRow]) -> bool:
    """Return whether I(X;T) can be the sum of I(T;Y) and I(X;T|Y), by their intervals."""
    information, parts = rows["I(X;T)"], (rows["I(T;Y)"], rows["I(X;T|Y)"])
    lower, upper = sum(part.lower for part in parts), sum(part.upper for part in parts)
    return lower <= information.upper + MARGIN and information.lower - MARGIN <= upper
