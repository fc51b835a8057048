"""Interactive charts of training.csv and information.csv, in the terms of plotly's JSON; plotly itself draws them."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from layerbits import plots
from layerbits._base import InformationRow
from layerbits.training import read_information, read_training

Chart = dict[str, dict[str, Any]]
"""The views of a table, ``{"data": ..., "layout": ...}`` each, by what their curves are of."""

_GRID = "#e6e6e6"


class _Point(NamedTuple):
    """A point of a curve; `lower` to `upper` is its interval, where it has one."""

    epoch: int
    value: float
    text: str
    lower: float = math.nan
    upper: float = math.nan


def training_chart(path: Path) -> Chart:
    """Return loss and accuracy of each split over the epochs; UsageError if the file is damaged."""
    curves: dict[str, dict[str, list[_Point]]] = {"loss": {}, "accuracy": {}}
    for row in read_training(path):
        for name, value in (("loss", row.loss), ("accuracy", row.accuracy)):
            text = _hover(f"{row.split}, epoch {row.epoch}", f"{name} {value:.4f}")
            curves[name].setdefault(row.split, []).append(_Point(row.epoch, value, text))
    titles = {"loss": "cross-entropy in nats", "accuracy": "accuracy"}
    return {name: _view(of_split, titles[name]) for name, of_split in curves.items() if of_split}


def information_chart(path: Path) -> Chart:
    """Return each quantity of each layer over the epochs, with its intervals; UsageError if the file is damaged."""
    curves: dict[str, dict[str, list[_Point]]] = {}
    units: dict[str, str] = {}
    for epoch, table in read_information(path).items():
        several = len({(row.layer, row.quantity) for row in table}) < len(table)
        for row in table:
            curve = f"{row.layer}, {row.estimator}" if several else row.layer
            curves.setdefault(row.quantity, {}).setdefault(curve, []).append(_information_point(epoch, curve, row))
            units[row.quantity] = row.unit
    return {quantity: _view(of_layer, f"{quantity} in {units[quantity]}") for quantity, of_layer in curves.items()}


CHARTS: Mapping[str, Callable[[Path], Chart]] = {
    "training.csv": training_chart,
    "information.csv": information_chart,
}
"""By the name of the file, what makes a chart of it."""


def _information_point(epoch: int, curve: str, row: InformationRow) -> _Point:
    ends = f"interval {row.lower:.4f} to {row.upper:.4f}"
    text = _hover(f"{curve}, epoch {epoch}", f"{row.quantity} {row.value:.4f} {row.unit}", ends, row.note)
    return _Point(epoch, row.value, text, row.lower, row.upper)


def _hover(*lines: str) -> str:
    # Plotly reads a little HTML in its texts.
    wrapped = [part for line in lines for part in textwrap.wrap(line, 60)]
    return "<br>".join(html.escape(part, quote=False) for part in wrapped)


def _view(curves: dict[str, list[_Point]], title: str) -> dict[str, Any]:
    traces: list[dict[str, Any]] = []
    # Curves that coincide: thinner lines go on top of thicker ones.
    widths = np.linspace(5, 2, len(curves)).tolist()
    for (name, points), (*color, _), width in zip(
        curves.items(), plots.sequence_colors(len(curves)), widths, strict=True
    ):
        rgb = ",".join(str(round(255 * part)) for part in color)
        told = html.escape(name, quote=False)
        banded = [point for point in points if math.isfinite(point.lower) and math.isfinite(point.upper)]
        if banded:
            traces.append(
                {
                    "type": "scatter", "mode": "lines", "name": told, "legendgroup": told, "showlegend": False,
                    "x": [point.epoch for point in banded] + [point.epoch for point in reversed(banded)],
                    "y": [point.upper for point in banded] + [point.lower for point in reversed(banded)],
                    "fill": "toself", "fillcolor": f"rgba({rgb},0.3)", "line": {"width": 0}, "hoverinfo": "skip",
                }
            )  # fmt: skip
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": told, "legendgroup": told,
                "x": [point.epoch for point in points],
                "y": _finite(point.value for point in points),
                "text": [point.text for point in points], "hoverinfo": "text",
                "line": {"color": f"rgb({rgb})", "width": width}, "marker": {"size": width + 2},
            }
        )  # fmt: skip
    first = min(point.epoch for points in curves.values() for point in points)
    layout = {
        "height": 460,
        "margin": {"l": 60, "r": 10, "t": 20, "b": 50},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"color": "#222222"},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
        "xaxis": {"type": "log" if first > 0 else "linear", "title": {"text": "epoch"}, "gridcolor": _GRID},
        "yaxis": {"title": {"text": html.escape(title, quote=False)}, "gridcolor": _GRID, "zerolinecolor": _GRID},
    }
    return {"data": traces, "layout": layout}


def _finite(values: Iterable[float]) -> list[float | None]:
    """Return the values, with None, a gap in the curve, for those that JSON has no word for."""
    return [value if math.isfinite(value) else None for value in values]
