"""Interactive charts of training.csv and information.csv in plotly's JSON."""

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
"""The views of a table, by quantity; a view is ``{"data": ..., "layout": ...}``."""

_GRID = "#e6e6e6"


class _Point(NamedTuple):
    """A point of a curve; `lower` and `upper` are the ends of its interval, NaN if it has none."""

    epoch: int
    value: float
    text: str
    lower: float = math.nan
    upper: float = math.nan


def training_chart(path: Path) -> Chart:
    """Return the views of loss and accuracy over the epochs; raise UsageError if the file is damaged."""
    curves: dict[str, dict[str, list[_Point]]] = {"loss": {}, "accuracy": {}}
    for row in read_training(path):
        for name, value in (("loss", row.loss), ("accuracy", row.accuracy)):
            text = _hover(f"{row.split}, epoch {row.epoch}", f"{name} {value:.4f}")
            curves[name].setdefault(row.split, []).append(_Point(row.epoch, value, text))
    return {name: _view(split_curves, name) for name, split_curves in curves.items() if split_curves}


def information_chart(path: Path) -> Chart:
    """Return a view of each quantity over the epochs, with intervals; raise UsageError if the file is damaged."""
    curves: dict[str, dict[str, list[_Point]]] = {}
    units: dict[str, str] = {}
    for epoch, table in read_information(path).items():
        has_several_estimators = len({(row.layer, row.quantity) for row in table}) < len(table)
        for row in table:
            curve = f"{row.layer}, {row.estimator}" if has_several_estimators else row.layer
            curves.setdefault(row.quantity, {}).setdefault(curve, []).append(_information_point(epoch, curve, row))
            units[row.quantity] = row.unit
    return {quantity: _view(layers, f"{quantity} in {units[quantity]}") for quantity, layers in curves.items()}


CHARTS: Mapping[str, Callable[[Path], Chart]] = {
    "training.csv": training_chart,
    "information.csv": information_chart,
}
"""The function that makes the chart of a table, by the name of its file."""


def _information_point(epoch: int, curve: str, row: InformationRow) -> _Point:
    ends = f"interval {row.lower:.4f} to {row.upper:.4f}"
    text = _hover(f"{curve}, epoch {epoch}", f"{row.quantity} {row.value:.4f} {row.unit}", ends, row.note)
    return _Point(epoch, row.value, text, row.lower, row.upper)


def _hover(*lines: str) -> str:
    # Plotly interprets some HTML tags in texts.
    wrapped = [part for line in lines for part in textwrap.wrap(line, 60)]
    return "<br>".join(html.escape(part, quote=False) for part in wrapped)


def _view(curves: dict[str, list[_Point]], title: str) -> dict[str, Any]:
    traces: list[dict[str, Any]] = []
    colors = plots.sequence_colors(len(curves))
    # Later curves are thinner, so that coinciding curves are all visible.
    widths = np.linspace(5, 2, len(curves)).tolist()
    for (name, points), (*color, _), width in zip(curves.items(), colors, widths, strict=True):
        rgb = ",".join(str(round(255 * part)) for part in color)
        label = html.escape(name, quote=False)
        intervals = [point for point in points if math.isfinite(point.lower) and math.isfinite(point.upper)]
        if intervals:
            traces.append(_band(label, intervals, rgb))
        traces.append(_curve(label, points, rgb, width))
    first_epoch = min(point.epoch for points in curves.values() for point in points)
    return {"data": traces, "layout": _layout(title, "log" if first_epoch > 0 else "linear")}


def _band(label: str, points: list[_Point], rgb: str) -> dict[str, Any]:
    """Return the area of the intervals: along the upper ends and back along the lower ends."""
    return {
        "type": "scatter", "mode": "lines", "name": label, "legendgroup": label, "showlegend": False,
        "x": [point.epoch for point in points] + [point.epoch for point in reversed(points)],
        "y": [point.upper for point in points] + [point.lower for point in reversed(points)],
        "fill": "toself", "fillcolor": f"rgba({rgb},0.3)", "line": {"width": 0}, "hoverinfo": "skip",
    }  # fmt: skip


def _curve(label: str, points: list[_Point], rgb: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines+markers", "name": label, "legendgroup": label,
        "x": [point.epoch for point in points],
        "y": _finite_or_none(point.value for point in points),
        "text": [point.text for point in points], "hoverinfo": "text",
        "line": {"color": f"rgb({rgb})", "width": width}, "marker": {"size": width + 2},
    }  # fmt: skip


def _layout(title: str, epoch_scale: str) -> dict[str, Any]:
    return {
        "height": 460,
        "margin": {"l": 60, "r": 10, "t": 20, "b": 50},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"color": "#222222"},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top"},
        "xaxis": {"type": epoch_scale, "title": {"text": "epoch"}, "gridcolor": _GRID},
        "yaxis": {"title": {"text": html.escape(title, quote=False)}, "gridcolor": _GRID, "zerolinecolor": _GRID},
    }


def _finite_or_none(values: Iterable[float]) -> list[float | None]:
    """Replace NaN and infinity, which JSON lacks, by None, which leaves a gap in the curve."""
    return [value if math.isfinite(value) else None for value in values]
