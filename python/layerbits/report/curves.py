"""Curves of a run over its epochs, for the charts of a page: information with intervals, losses, and points of a layer.

Runs of one training with different seeds become one run with bands.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from layerbits import plots
from layerbits._base import Doubles, InformationRow, counted, damaged_file, flags_in_words, listed, parse_csv
from layerbits.report.thinning import evenly
from layerbits.training import INFORMATION_FILE, MEASURES_FILE, read_history, read_measures, read_training

_MAX_TRAINING_EPOCHS, _MAX_SPLITS, _MAX_POINT_EPOCHS, _MAX_POINTS = 500, 8, 20, 1000
_MAX_VALUES = 2_000_000  # in all curves of a table; a measurement writes one row for each
_LARGEST_EPOCH = 2**53  # the largest whole number of JSON in browsers
_LARGEST_LIMIT = 700.0  # nats; the exponential function of more overflows


@dataclasses.dataclass(frozen=True)
class Curve:
    """Values and interval ends at the epochs of a run, each of shape (epochs,), NaN where there is none.

    Over several seeds, `value` is the mean of the values, `lower` the least lower and `upper` the largest upper end,
    and `least` and `largest` are the ends of the range of the values.
    """

    value: Doubles
    lower: Doubles
    upper: Doubles
    notes: Sequence[str] = ()
    saturated: Sequence[bool] = ()
    least: Doubles | None = None
    largest: Doubles | None = None


@dataclasses.dataclass(frozen=True)
class RunCurves:
    """Curves of a run, or of a group of runs over seeds, by quantity with its unit, and name of the layer.

    `limits` has the largest possible value of an information and its name. `remark` describes a group, or says how many
    of the epochs the page shows.
    """

    name: str
    epochs: Sequence[int]
    curves: Mapping[str, Mapping[str, Curve]]
    limits: Mapping[str, tuple[float, str]] = dataclasses.field(default_factory=dict)
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class LayerPoints:
    """Labels, n numbers or texts, and points of a layer of shape (n, 2) or (n, 3), by epoch.

    `layer` is the name of the layer, empty if unknown. `remark` names the run of a group that has the points, and says
    how many of them the page shows.
    """

    name: str
    points: Mapping[int, tuple[list[float | str], Doubles]]
    layer: str = ""
    remark: str = ""


def information_curves(folder: Path, name: str) -> RunCurves | None:
    """Return the curves of the information.csv in a folder, and of a measures.csv beside it; None without rows.

    Raises
    ------
    UsageError
        A file is damaged.
    """
    history = read_history(folder)
    if not history.rows:
        return None
    epochs = history.epochs
    _check_epochs(folder / INFORMATION_FILE, epochs)
    rows: dict[str, dict[str, dict[int, InformationRow]]] = {}
    for epoch, table in history.tables.items():
        has_several_estimators = len({(row.layer, row.quantity) for row in table}) < len(table)
        for row in table:
            curve = f"{row.layer}, {row.estimator}" if has_several_estimators else row.layer
            rows.setdefault(f"{row.quantity} in {row.unit}", {}).setdefault(curve, {})[epoch] = row
    n_curves = sum(map(len, rows.values()))
    if n_curves * len(epochs) > _MAX_VALUES:
        raise damaged_file(folder / INFORMATION_FILE, f"it has {n_curves} curves at {len(epochs)} epochs, too many")
    curves = {
        quantity: {layer: _curve([by_epoch.get(epoch) for epoch in epochs]) for layer, by_epoch in layers.items()}
        for quantity, layers in rows.items()
    }
    curves |= _measure_curves(folder, epochs)
    limits = {
        f"{quantity} in {unit}": (limit, plots.limit_label(quantity, limit, unit))
        for quantity, limit in history.limits.items()
        for unit in ("nats", "bits")
        if 0 < limit < _LARGEST_LIMIT and quantity.count(";") == 1 and f"{quantity} in {unit}" in rows
    }
    return RunCurves(name, epochs, curves, limits)


def _measure_curves(folder: Path, epochs: Sequence[int]) -> dict[str, dict[str, Curve]]:
    """Return the curves of the measures in a folder, if any, at the epochs of the information."""
    if not (folder / MEASURES_FILE).exists():
        return {}
    rows = read_measures(folder / MEASURES_FILE)
    values: dict[str, dict[str, dict[int, float]]] = {}
    for epoch in epochs:
        for row in rows.get(epoch, ()):
            values.setdefault(row.measure, {}).setdefault(row.layer, {})[epoch] = row.value
    if sum(map(len, values.values())) * len(epochs) > _MAX_VALUES:
        raise damaged_file(folder / MEASURES_FILE, "it has too many curves")
    curves: dict[str, dict[str, Curve]] = {}
    for measure, layers in values.items():
        for layer, by_epoch in layers.items():
            column = np.array([by_epoch.get(epoch, math.nan) for epoch in epochs])
            curves.setdefault(measure, {})[layer] = Curve(column, column, column)
    return curves


def training_curves(folder: Path, name: str) -> RunCurves | None:
    """Return losses and accuracies of the training.csv in a folder; raise UsageError if the file is damaged."""
    rows = read_training(folder / "training.csv")
    measured = sorted({row.epoch for row in rows})
    _check_epochs(folder / "training.csv", measured)
    splits = list(dict.fromkeys(row.split for row in rows))
    if len(splits) > _MAX_SPLITS:
        raise damaged_file(folder / "training.csv", f"it has {len(splits)} splits, more than {_MAX_SPLITS}")
    epochs = [measured[index] for index in evenly(len(measured), _MAX_TRAINING_EPOCHS)]
    curves: dict[str, dict[str, Curve]] = {}
    for quantity in ("loss", "accuracy"):
        for split in splits:
            by_epoch = {row.epoch: getattr(row, quantity) for row in rows if row.split == split}
            values = np.array([by_epoch.get(epoch, math.nan) for epoch in epochs])
            curves.setdefault(quantity, {})[split] = Curve(values, values, values)
    return RunCurves(name, epochs, curves, remark=_shown([(len(epochs), len(measured), "epochs")])) if rows else None


def layer_points(folder: Path, name: str) -> LayerPoints | None:
    """Return the points of the scatter.csv in a folder: columns epoch, layer, label, t1, t2 and t3.

    The columns layer and t3, of a third unit, may be missing. Labels that are not all numbers are texts. If there are
    many points, a random choice is shown, because rows at equal distances may lack whole classes.

    Raises
    ------
    UsageError
        The file is damaged, or has several layers.
    """
    path = folder / "scatter.csv"
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
    parsers: dict[str, Callable[[str], Any]] = {"epoch": _finite_number, "layer": str}
    parsers |= {"label": str} | dict.fromkeys(("t1", "t2", "t3"), _finite_number)
    for column in {"layer", "t3"}.difference(header):
        del parsers[column]
    cells_by_column = parse_csv(path, parsers, lambda *cells: dict(zip(parsers, cells, strict=True)))
    if not cells_by_column:
        return None
    layers = sorted({cells.pop("layer", "") for cells in cells_by_column})
    if len(layers) > 1:
        raise damaged_file(path, f"it has the layers {listed(layers)}, wanted one")
    labels = _numbers_or_texts([cells.pop("label") for cells in cells_by_column])
    table = np.array([list(cells.values()) for cells in cells_by_column])
    _check_epochs(path, table[:, 0].tolist())
    epochs = np.unique(table[:, 0])
    points, sizes = {}, set()
    for epoch in epochs[evenly(len(epochs), _MAX_POINT_EPOCHS)]:
        rows = np.flatnonzero(table[:, 0] == epoch)
        sizes.add(len(rows))
        rows = rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:_MAX_POINTS])]
        points[int(epoch)] = [labels[row] for row in rows.tolist()], table[rows, 1:]
    points_of = "points" if len(sizes) == 1 else "points at the epoch of most"
    counts = [(len(points), len(epochs), "epochs"), (min(_MAX_POINTS, max(sizes)), max(sizes), points_of)]
    return LayerPoints(name, points, layers[0], _shown(counts))


def _shown(counts: Sequence[tuple[int, int, str]]) -> str:
    """Return a sentence that names the parts that the page shows, empty if it shows everything."""
    parts = [f"{shown:,} of {total:,} {name}" for shown, total, name in counts if shown < total]
    return f"The page shows {', '.join(parts)}." if parts else ""


def _numbers_or_texts(cells: Sequence[str]) -> Sequence[float | str]:
    try:
        return [_finite_number(cell) for cell in cells]
    except ValueError:
        return cells


def _finite_number(cell: str) -> float:
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError(f"got {number}, wanted a finite number")
    return number


def over_seeds(name: str, runs: Sequence[RunCurves]) -> RunCurves | None:
    """Return runs of one training with different seeds as one run with bands; None if no epoch is in all of them."""
    epochs = sorted(set.intersection(*(set(run.epochs) for run in runs)))
    if not epochs:
        return None
    positions = [[list(run.epochs).index(epoch) for epoch in epochs] for run in runs]
    curves: dict[str, dict[str, Curve]] = {}
    for quantity, layers in runs[0].curves.items():
        for layer in layers:
            parts = [
                (run.curves[quantity][layer], index)
                for run, index in zip(runs, positions, strict=True)
                if layer in run.curves.get(quantity, {})
            ]
            if len(parts) == len(runs):
                curves.setdefault(quantity, {})[layer] = _band(parts)
    n_left_out = len(set.union(*(set(run.epochs) for run in runs))) - len(epochs)
    remark = (
        f"{len(runs)} seeds. Line: mean of the values. Dark band: range of the values. Pale band, rectangle: from the "
        "least lower to the largest upper end."
    )
    remark += f" Left out: {counted(n_left_out, 'epoch')}, which not all runs have." if n_left_out else ""
    return RunCurves(name, epochs, curves, runs[0].limits, f"{remark} {runs[0].remark}".rstrip())


def _check_epochs(path: Path, epochs: Sequence[float]) -> None:
    if any(abs(epoch) > _LARGEST_EPOCH for epoch in epochs):
        raise damaged_file(path, f"it has an epoch beyond {_LARGEST_EPOCH}")


def _curve(rows: Sequence[InformationRow | None]) -> Curve:
    value, lower, upper = (
        np.array([math.nan if row is None else getattr(row, field) for row in rows], dtype=np.float64)
        for field in ("value", "lower", "upper")
    )
    notes = ["" if row is None else row.note or flags_in_words(row.flags) for row in rows]
    return Curve(value, lower, upper, notes, [row is not None and "saturated" in row.flags for row in rows])


def _band(parts: Sequence[tuple[Curve, Sequence[int]]]) -> Curve:
    values = np.array([curve.value[index] for curve, index in parts])
    notes, saturated = [], []
    for position in range(values.shape[1]):
        flags = [bool(curve.saturated) and curve.saturated[index[position]] for curve, index in parts]
        saturated.append(all(flags))
        notes.append(f"saturated in {sum(flags)} of {len(flags)} runs" if any(flags) else "")
    return Curve(
        value=values.mean(0),
        lower=np.min([curve.lower[index] for curve, index in parts], axis=0),
        upper=np.max([curve.upper[index] for curve, index in parts], axis=0),
        notes=notes,
        saturated=saturated,
        least=values.min(0),
        largest=values.max(0),
    )
