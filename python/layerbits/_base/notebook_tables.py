"""Tables in HTML, as notebooks show them: intervals with a bar from the lower to the upper end, histograms, texts."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from layerbits._base.types import Integers

_WIDTH, _HEIGHT, _MARGIN = 160, 14, 4  # pixels of a bar
_LEAST_BAR = 3  # pixels, or a narrow interval would be invisible below the mark of the value
_SHORT = 24  # characters of a text that is not wrapped within words
_LONG = ' class="long"'
_BLUE, _GREY = "#0072B2", "#888888"  # both visible on white and on black
_STYLE = (
    "<style>.layerbits td, .layerbits th {text-align: left !important; vertical-align: top} "
    ".layerbits td.number {text-align: right !important; font-variant-numeric: tabular-nums; white-space: nowrap} "
    ".layerbits td.long {min-width: 12em; max-width: 24em; overflow-wrap: anywhere} "
    ".layerbits svg {max-width: none !important}"  # JupyterLab would cut pictures beside long notes
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

    If a row has a limit, only rows with a limit have bars; otherwise the axis ends at the largest upper end. A single
    row without a limit has nothing to be compared with, and no bar. Flags of all rows stand below the table.
    """
    if not rows:
        return "<div>no rows</div>"
    limits = [row.limit for row in rows if not math.isnan(row.limit)]
    scale = max(limits or [row.upper for row in rows])
    common = set.intersection(*(set(row.flags) for row in rows)) if len(rows) > 1 else set()
    bars = ["" if limits and math.isnan(row.limit) else _bar(row, scale) for row in rows]
    has_bars = any(bars) and bool(limits or len(rows) > 1)
    heads = _heads((*titles, "value", "interval", *([f"0 to {fixed(scale)}"] if has_bars else []), "notes"))
    lines = ""
    for row, bar in zip(rows, bars, strict=True):
        cell = f"<td>{bar}</td>" if has_bars else ""
        lines += f"<tr>{_cells(row)}{cell}{_notes_cell(row.note, set(row.flags) - common)}</tr>"
    return f"{_table(heads, lines)}{f'<div>All rows: {_notes(str(), common)}</div>' if common else ''}"


def html_text_table(titles: Sequence[str], *rows: Sequence[str]) -> str:
    """Return an HTML table of texts."""
    lines = ("".join(f"<td>{html.escape(text)}</td>" for text in row) for row in rows)
    return _table(_heads(titles), "".join(f"<tr>{line}</tr>" for line in lines))


def html_histogram(name: str, counts: Mapping[str, Integers], lower: float, upper: float) -> str:
    """Return an HTML table with a row for each kind of pairs: their number, and a picture of their shares by bin.

    Parameters
    ----------
    name : str
        What the bins divide.
    counts : mapping of str to int64 array of shape (bins,)
        Pairs by kind. Pictures show neighbouring bins together where there are more bins than pixels.
    lower, upper : float
        First and last edge of the bins.
    """
    lines = ""
    for kind, values in counts.items():
        picture = _steps([int(part.sum()) for part in np.array_split(values, min(len(values), _WIDTH))])
        lines += f'<tr><td>{html.escape(kind)}</td><td class="number">{values.sum()}</td><td>{picture}</td></tr>'
    return _table(_heads((name, "pairs", f"{lower:.4g} to {upper:.4g}")), lines)


def _heads(titles: Sequence[str]) -> str:
    return "".join(f"<th>{html.escape(title)}</th>" for title in titles)


def _table(heads: str, lines: str) -> str:
    return f'{_STYLE}<table class="layerbits"><tr>{heads}</tr>{lines}</table>'


def _steps(counts: Sequence[int]) -> str:
    """Return a picture of a histogram, whose highest bin has the height of the picture; empty without counts."""
    largest = max(counts)
    if largest == 0:
        return ""
    width, height = _WIDTH / len(counts), 2 * _HEIGHT
    steps = "".join(f"V{height - height * count / largest:.1f}h{width:.3f}" for count in counts)
    return (
        f'<svg width="{_WIDTH}" height="{height}" role="img" aria-label="histogram">'
        f'<path d="M0 {height}{steps}V{height}Z" fill="{_BLUE}"/>'
        f'<path d="M0 {height}H{_WIDTH}" stroke="{_GREY}"/></svg>'
    )


def _cells(row: HtmlRow) -> str:
    numbers = (f"{fixed(row.value)} {row.unit}", f"[{fixed(row.lower)}, {fixed(row.upper)}]")
    texts = "".join(f"<td{_LONG * (len(text) > _SHORT)}>{html.escape(text)}</td>" for text in row.texts)
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


def flags_in_words(flags: Iterable[str]) -> str:
    """Return the flags of a row in alphabetical order, such as ``measurement noise, saturated``."""
    return ", ".join(sorted(flag.replace("_", " ") for flag in flags))


def _notes_cell(note: str, flags: set[str]) -> str:
    text = _notes(note, flags)
    return f"<td{_LONG * (len(text) > _SHORT)}>{text}</td>"


def _notes(note: str, flags: set[str]) -> str:
    """Return the note, or the flags in words, after a sign: a warning, or an information."""
    text = note or flags_in_words(flags)
    sign = "\N{WARNING SIGN}" if _WARNINGS & flags else "\N{INFORMATION SOURCE}"
    return f"{sign} {html.escape(text)}" if text else ""
