"""Tables of intervals in HTML, as notebooks show them, with a bar from the lower to the upper end in each row."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

_WIDTH, _HEIGHT, _MARGIN = 160, 14, 4  # pixels of a bar
_LEAST_BAR = 3  # pixels, or a narrow interval would be invisible below the mark of the value
_BLUE, _GREY = "#0072B2", "#888888"  # both visible on white and on black
_STYLE = (
    "<style>.layerbits td, .layerbits th {text-align: left !important; vertical-align: top} "
    ".layerbits td.number {text-align: right !important; font-variant-numeric: tabular-nums; white-space: nowrap}"
    "</style>"
)
_WARNINGS = {
    "tolerance_missed",
    "above_previous_layer",
    "above_ceiling",
    "above_larger_view",
    "ends_cross",
    "sum_differs",
    "below_larger_sigma",
}


class HtmlRow(NamedTuple):
    """A row of a table: texts of the first columns, then a value with its interval.

    `limit` is the largest possible value, NaN if there is none. Flags without a note are printed as words.
    """

    texts: Sequence[str]
    value: float
    lower: float
    upper: float
    unit: str
    note: str
    flags: tuple[str, ...]
    limit: float = math.nan


def fixed(value: float, digits: int = 4) -> str:
    """Format a number with a fixed number of decimals; zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def html_table(titles: Sequence[str], rows: Sequence[HtmlRow]) -> str:
    """Return an HTML table of rows with their bars, on an axis from 0 to the largest limit.

    If a row has a limit, only rows with a limit have bars; otherwise the axis ends at the largest upper end. Flags of
    all rows stand below the table.
    """
    if not rows:
        return "<div>no rows</div>"
    limits = [row.limit for row in rows if not math.isnan(row.limit)]
    scale = max(limits or [row.upper for row in rows])
    heads = "".join(f"<th>{html.escape(head)}</th>" for head in (*titles, "value", "interval", f"0 to {fixed(scale)}"))
    common = set.intersection(*(set(row.flags) for row in rows)) if len(rows) > 1 else set()
    lines = ""
    for row in rows:
        bar = "" if limits and math.isnan(row.limit) else _bar(row, scale)
        lines += f"<tr>{_cells(row)}<td>{bar}</td><td>{_notes(row.note, set(row.flags) - common)}</td></tr>"
    table = f'<table class="layerbits"><tr>{heads}<th>notes</th></tr>{lines}</table>'
    return f"{_STYLE}{table}{f'<div>All rows: {_notes(str(), common)}</div>' if common else ''}"


def _cells(row: HtmlRow) -> str:
    numbers = (f"{fixed(row.value)} {row.unit}", f"[{fixed(row.lower)}, {fixed(row.upper)}]")
    texts = "".join(f"<td>{html.escape(text)}</td>" for text in row.texts)
    return texts + "".join(f'<td class="number">{html.escape(number)}</td>' for number in numbers)


def _bar(row: HtmlRow, scale: float) -> str:
    """Return a picture: a thick line from the lower to the upper end, a light mark at the value, a line at the limit.

    Ends may exceed the axis by rounding.
    """
    if not 0 <= row.lower <= row.upper <= scale * (1 + 1e-9) or scale == 0:
        return ""
    lower, value, upper, limit = (
        _MARGIN + (_WIDTH - 2 * _MARGIN) * position / scale for position in (row.lower, row.value, row.upper, row.limit)
    )
    middle, margin = _HEIGHT / 2, max(0.0, _LEAST_BAR - (upper - lower)) / 2
    mark = "" if math.isnan(limit) else f'<path d="M{limit:.1f} 0v{_HEIGHT}" stroke="{_GREY}"/>'
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{fixed(row.lower)} to {fixed(row.upper)}">'
        f'<path d="M{_MARGIN} {middle}H{_WIDTH - _MARGIN}" stroke="{_GREY}" stroke-opacity=".5"/>{mark}'
        f'<path d="M{lower - margin:.1f} {middle}H{upper + margin:.1f}" stroke="{_BLUE}" stroke-width="7"/>'
        f'<path d="M{value:.1f} {middle - 2}v4" stroke="white"/></svg>'
    )


def _notes(note: str, flags: set[str]) -> str:
    """Return the note, or the flags in words, after a sign: a warning, or an information."""
    text = note or ", ".join(sorted(flag.replace("_", " ") for flag in flags))
    sign = "\N{WARNING SIGN}" if _WARNINGS & flags else "\N{INFORMATION SOURCE}"
    return f"{sign} {html.escape(text)}" if text else ""
