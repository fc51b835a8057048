"""Symbols of the rows of slices, and notes on slices that theory rules out.

SI_k <= SI_(k+1) <= I(X;T), and PI_k and LI_k are at most I(X;T), because A^T T is a function of T. The same holds for
I(T;Y) and I(X;T|Y).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from layerbits._base import InformationRow
from layerbits.estimators.audits import MARGIN, note, noted_too, options_of
from layerbits.networks import LayerPart, RandomSlices, Slices


def with_symbols(rows: Sequence[InformationRow], slices: Slices | None) -> list[InformationRow]:
    """Return the rows of a part, with the symbol of its slices in place of I: ``SI_1(X;T)``."""
    if slices is None:
        return list(rows)
    return [
        dataclasses.replace(row, quantity=f"{slices.symbol}{row.quantity[1:]}")
        if row.quantity.startswith("I(")
        else row
        for row in rows
    ]


def with_slice_notes(rows: Sequence[InformationRow], parts: Mapping[str, LayerPart]) -> list[InformationRow]:
    """Return all rows of a table, with a note where a slice has more information than a view that contains it."""
    return [_audited(row, rows, parts) for row in rows]


def _audited(row: InformationRow, rows: Sequence[InformationRow], parts: Mapping[str, LayerPart]) -> InformationRow:
    part = parts[row.layer]
    if part.slices is None or "I_" not in row.quantity:
        return row
    pair = row.quantity.partition("(")[2]
    larger = [
        other
        for other in rows
        if other.quantity.partition("(")[2] == pair
        and not other.quantity.startswith("h")
        and parts[other.layer].layer == part.layer
        and _contains(parts[other.layer], part)
    ]
    least = min(larger, key=lambda other: other.upper, default=None)
    if least is None or row.lower <= least.upper + MARGIN:
        return row
    means = options_of(row)
    if isinstance(part.slices, RandomSlices):
        means = f"{means.replace(' or ', ', ')} or slices"
    return noted_too(row, note("above_larger_view", view=f"{least.quantity} of {least.layer}", means=means))


def _contains(part: LayerPart, other: LayerPart) -> bool:
    """Return whether the information of a part is at least that of another part of the layer, which has slices."""
    if part.slices is None:
        return part.view is None
    both_random = isinstance(part.slices, RandomSlices) and isinstance(other.slices, RandomSlices)
    return both_random and other.slices is not None and part.slices.k > other.slices.k
