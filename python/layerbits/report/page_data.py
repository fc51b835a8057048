"""The data of the charts of a page as JSON, with the colours of `layerbits.plots`.

The content of the JSON::

    layers, splits    [{name, full, light, dark}]: names, cut and whole, and their colours on a light and a dark page
    planes            [[quantity, quantity]]: the pairs that have an information plane
    measures          [text]: the names in `curves` of information that are no quantities in nats or bits
    information, training
                      [{name, full, remark, epochs, limits: {quantity: [value, name]}, curves: {quantity: {i: curve}}}]
                      with the index i of the layer (of the split), and a curve {v, l, u, a, b, n, s}: values, lower
                      and upper ends, ends of the range over seeds, indices of notes, 1 if saturated; null if missing,
                      and for an infinite end
    notes             [text]
    points            [{name, full, layer, remark, limit, epochs, labels, points}], lists of n indices of classes and n
                      points by epoch; the axes end at -limit and limit
    classes           [{name, full, light, dark}]: labels of the classes and their colours
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from layerbits import plots
from layerbits.plots import cut_name
from layerbits.report.curves import Curve, LayerPoints, RunCurves

_MAX_TEXT = 300
_LARGEST = 1e300  # an axis ends a little beyond the largest number
_CUBE_MARGIN = 0.2  # points up to this far outside the cube of tanh do not enlarge the axes


def page_data(
    information: Sequence[RunCurves], training: Sequence[RunCurves], points: Sequence[LayerPoints]
) -> dict[str, Any]:
    """Return the data of the charts; see the docstring of the module."""
    notes: dict[str, int] = {}
    short = _short_names([*(run.name for run in (*information, *training)), *(run.name for run in points)])
    layers = _merged(curves for run in information for curves in run.curves.values())
    splits = list(dict.fromkeys(split for run in training for curves in run.curves.values() for split in curves))
    quantities = dict.fromkeys(quantity for run in information for quantity in run.curves)
    labels = {label for run in points for labels, _ in run.points.values() for label in labels}
    classes = sorted(labels, key=lambda label: (isinstance(label, str), label))
    class_names = [label if isinstance(label, str) else f"{label:.12g}" for label in classes]
    return {
        "layers": _named(layers, *(plots.sequence_colors(len(layers), dark=dark) for dark in (False, True))),
        "splits": _named(splits, *_class_colors(len(splits))),
        "planes": _planes(quantities),
        "measures": [name for name in quantities if not name.endswith((" in nats", " in bits"))],
        "information": [_run(run, short[run.name], layers, notes) for run in information],
        "training": [_run(run, short[run.name], splits, notes) for run in training],
        "notes": [cut_name(note, _MAX_TEXT) for note in notes],
        "points": [_points(run, short[run.name], classes) for run in points],
        "classes": _named(class_names, *_class_colors(len(classes))),
    }


def as_json(data: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script that contains it."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _planes(quantities: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of I(X;T) and I(T;Y), also of slices, such as SI_1(X;T), and of other label sets."""
    names = list(quantities)
    pairs = []
    for name in names:
        match = re.fullmatch(r"(\w+)\(X;T\)( in \w+)", name)
        if match:
            symbol, unit = match.groups()
            pairs += [(name, y) for y in names if y.startswith(f"{symbol}(T;") and y.endswith(unit)]
    return pairs


def _short_names(names: Iterable[str]) -> dict[str, str]:
    names = list(dict.fromkeys(names))
    return dict(zip(names, plots.cut_names(names), strict=True))


def _run(run: RunCurves, short: str, names: Sequence[str], notes: dict[str, int]) -> dict[str, Any]:
    """Return the data of a run; add its notes to `notes`, which maps a note to its index."""
    position = {name: index for index, name in enumerate(names)}
    return {
        "name": short, "full": cut_name(run.name, _MAX_TEXT), "remark": run.remark,
        "epochs": list(run.epochs),
        "limits": {quantity: [limit, cut_name(label)] for quantity, (limit, label) in run.limits.items()},
        "curves": {
            quantity: {position[layer]: _curve(curve, notes) for layer, curve in curves.items()}
            for quantity, curves in run.curves.items()
        },
    }  # fmt: skip


def _curve(curve: Curve, notes: dict[str, int]) -> dict[str, Any]:
    columns: dict[str, Any] = {"v": _numbers(curve.value)}
    if curve.lower is not curve.value:
        columns |= {"l": _numbers(curve.lower), "u": _numbers(curve.upper)}
    if curve.least is not None and curve.largest is not None:
        columns |= {"a": _numbers(curve.least), "b": _numbers(curve.largest)}
    if any(curve.notes):
        columns["n"] = [notes.setdefault(note, len(notes)) for note in curve.notes]
    if any(curve.saturated):
        columns["s"] = [int(saturated) for saturated in curve.saturated]
    return columns


def _points(run: LayerPoints, short: str, classes: Sequence[float | str]) -> dict[str, Any]:
    position = {label: index for index, label in enumerate(classes)}
    largest = max(float(abs(rows).max()) for _, rows in run.points.values())
    return {
        "limit": 1.0 if largest < 1 + _CUBE_MARGIN else largest,
        "name": short,
        "full": cut_name(run.name, _MAX_TEXT),
        "layer": cut_name(run.layer),
        "remark": run.remark,
        "epochs": list(run.points),
        "labels": [[position[label] for label in labels] for labels, _ in run.points.values()],
        "points": [[_numbers(point, 4) for point in rows] for _, rows in run.points.values()],
    }


def _numbers(values: Iterable[float], digits: int = 8) -> list[float | None]:
    """Round numbers, and replace NaN and infinity, which JSON lacks, and numbers that overflow, by None."""
    return [float(f"{value:.{digits}g}") if abs(value) < _LARGEST else None for value in values]


def _merged(orders: Iterable[Iterable[str]]) -> list[str]:
    """Return the names of all orders, each order kept where it does not contradict an earlier one.

    The new names of an order stand before the next name that an earlier order has, or at the end.
    """
    merged: list[str] = []
    for order in orders:
        known = set(merged)
        ending_in: dict[str, list[str]] = {}  # the new names before a known name, and the known name
        names: list[str] = []
        for name in order:
            names.append(name)
            if name in known:
                ending_in[name] = names
                names = []
        merged = [name for end in merged for name in ending_in.get(end, [end])] + names
    return merged


def _class_colors(count: int) -> list[list[plots.Color]]:
    return [plots.class_colors(count, dark=dark) for dark in (False, True)]


def _named(names: Collection[str], light: Iterable[Any] = (), dark: Iterable[Any] = ()) -> list[dict[str, str]]:
    from matplotlib.colors import to_hex

    return [
        {"name": short, "full": cut_name(name, _MAX_TEXT), "light": to_hex(on_light), "dark": to_hex(on_dark)}
        for (name, short), on_light, on_dark in zip(_short_names(names).items(), light, dark, strict=True)
    ]
