"""Read the charts of all runs of a page from copies of their tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from layerbits._base import UsageError
from layerbits.report.curves import (
    LayerPoints,
    RunCurves,
    information_curves,
    layer_points,
    over_seeds,
    training_curves,
)
from layerbits.report.folders import list_files
from layerbits.report.page_data import page_data
from layerbits.report.record import RunRecord
from layerbits.report.thinning import Table
from layerbits.training import INFORMATION_FILE

_MAX_CHARTS = 64

_Part = TypeVar("_Part", RunCurves, LayerPoints)
_Parts = dict[tuple[int, str], _Part]  # by the position of the run and the folder of its variant


class CopiedRun(NamedTuple):
    """A run whose tables were copied to the folder `snapshot`."""

    name: str
    folder: Path
    record: RunRecord
    snapshot: Path
    tables: list[Table]


def read_charts(
    runs: Sequence[CopiedRun], groups: Sequence[tuple[str, Sequence[int]]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the data of the charts of groups of runs, and notes on tables that are damaged or left out."""
    notes: list[str] = []
    information = _over_seeds(runs, groups, _read(runs, INFORMATION_FILE, information_curves, notes))
    training = _over_seeds(runs, groups, _read(runs, "training.csv", training_curves, notes))
    bands = {run.name for run in (*information, *training)}
    points = _of_first_seeds(runs, groups, _read(runs, "scatter.csv", layer_points, notes), bands)
    for name, parts in (("information", information), ("training", training), ("points", points)):
        if len(parts) > _MAX_CHARTS:
            notes.append(f"{name}: the first {_MAX_CHARTS} of {len(parts)} charts are shown")
    return page_data(information[:_MAX_CHARTS], training[:_MAX_CHARTS], points[:_MAX_CHARTS]), notes


def _read(
    runs: Sequence[CopiedRun], file: str, read: Callable[[Path, str], _Part | None], notes: list[str]
) -> _Parts[_Part]:
    """Read the tables of a name in all runs and variants; add a note on each damaged one."""
    parts: _Parts[_Part] = {}
    for position, run in enumerate(runs):
        for path in list_files(run.snapshot, "csv"):
            if path.name != file:
                continue
            variant = path.parent.relative_to(run.snapshot).as_posix().removeprefix(".")
            name = path.relative_to(run.snapshot).as_posix()
            is_thinned = any(table.thinned for table in run.tables if table.name == name)
            try:
                part = read(path.parent, _name(runs, run.name, variant))
            except UsageError as error:
                remark = "; its rows are counted in the part that the page shows" if is_thinned else ""
                notes.append(f"no chart: {error}{remark}".replace(str(run.snapshot), str(run.folder)))
            else:
                if part is not None:
                    if part.remark and is_thinned:
                        remark = f"{part.remark} The notes say of which part of the table these are the numbers."
                        part = dataclasses.replace(part, remark=remark)
                    parts[position, variant] = part
    return parts


def _over_seeds(
    runs: Sequence[CopiedRun], groups: Iterable[tuple[str, Sequence[int]]], parts: _Parts[RunCurves]
) -> list[RunCurves]:
    """Return the curves of each variant of each group: as one with bands, or each run alone if no epoch is common."""
    curves = []
    for name, positions in groups:
        for variant in dict.fromkeys(variant for position, variant in parts if position in positions):
            members = [parts[position, variant] for position in positions if (position, variant) in parts]
            band = over_seeds(_name(runs, name, variant), members) if len(members) > 1 else None
            curves += members if band is None else [band]
    return curves


def _of_first_seeds(
    runs: Sequence[CopiedRun],
    groups: Iterable[tuple[str, Sequence[int]]],
    parts: _Parts[LayerPoints],
    bands: Collection[str],
) -> list[LayerPoints]:
    """Return the points of the first run of each group, under the name of the group if it has a band."""
    names = {positions[0]: name for name, positions in groups}
    points = []
    for (position, variant), part in parts.items():
        if position in names:
            name = _name(runs, names[position], variant)
            if name in bands and name != part.name:
                part = dataclasses.replace(part, name=name, remark=f"Points of {part.name}. {part.remark}".rstrip())
            points.append(part)
    return points


def _name(runs: Sequence[CopiedRun], name: str, variant: str) -> str:
    return (variant or name) if len(runs) == 1 else f"{name}/{variant}".rstrip("/")
