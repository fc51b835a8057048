"""The report on a run: its figures drawn anew from its tables, and one HTML page that needs nothing else.

Reads what a run has written so far, also one that goes on meanwhile in another process; writes figures and report.html,
and no file that a run reads.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from layerbits import plots
from layerbits._base import DRAFT_PREFIX, LayerbitsError, UsageError, read_json, replacing
from layerbits.experiments import EXPERIMENTS, Experiment, with_settings
from layerbits.report.charts import CHARTS, Chart
from layerbits.report.page import Table, page

_LOG = logging.getLogger("layerbits")

_PAGE = "report.html"
_RECORD = {
    "experiment": str, "status": str, "configuration": dict, "versions": dict, "machine": dict, "timings": dict,
    "summary": dict,
}  # fmt: skip


class Report(NamedTuple):
    """What was written: the page, and a line for each thing that is not on it."""

    page: Path
    notes: tuple[str, ...]


def write_report(directory: str | os.PathLike[str]) -> Report:
    """Draw the figures of a run anew, as far as its tables go, and write ``report.html`` beside them.

    Parameters
    ----------
    directory : path
        Folder of a run that is finished, interrupted or running.

    Returns
    -------
    Report
        Where the page is, and what could not be put on it, and why.

    Raises
    ------
    UsageError
        If the folder holds no run that this version knows, or nothing to show yet: then no file is written. If it
        cannot be written to.
    """
    plots.require_matplotlib()
    folder = Path(directory)
    record = _read_record(folder)
    experiment = EXPERIMENTS[record["experiment"]]
    config = _configuration(folder, experiment, record)
    try:
        with tempfile.TemporaryDirectory(prefix="layerbits-") as name:
            return _write(folder, record, experiment, config, Path(name))
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}, so no report could be written") from error


def _write(folder: Path, record: Mapping[str, Any], experiment: Experiment[Any], config: Any, snapshot: Path) -> Report:
    """Draw in `snapshot`, an empty folder: the run may write to its own at the same time."""
    before = {path: _stamp(path) for path in folder.rglob("*.png")}
    last_written = _last_written(folder)
    tables = [_copy_table(folder, path, snapshot) for path in _files(folder, "csv")]
    if not any(table.rows for table in tables):
        raise UsageError(f"{folder}: nothing to show yet, for the run has written no table; try again later")
    notes = _draw(experiment, config, snapshot)
    found = _charts(snapshot, notes)
    notes = [note.replace(str(snapshot), str(folder)) for note in notes]
    for drawn in _files(snapshot, "png"):
        path = folder / drawn.relative_to(snapshot)
        if _stamp(path) == before.get(path):  # else the run itself has drawn it meanwhile, from more
            _replace(path, drawn.read_bytes())
    text = page(
        record,
        folder=folder.absolute(),
        description=experiment.description,
        defaults=_as_json(experiment.config_type()),
        last_written=last_written,
        notes=notes,
        figures={path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder, "png")},
        charts=found,
        tables=tables,
    )
    _replace(folder / _PAGE, text.encode(errors="replace"))
    return Report(folder / _PAGE, tuple(notes))


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        record = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{folder}: no run.json in it, so no run to report on; name the folder of a run") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    for name, kind in _RECORD.items():
        if not isinstance(record.get(name), kind):
            raise UsageError(f"{path}: {name}: got {record.get(name)!r}, wanted what `layerbits run` writes there")
    if record["experiment"] not in EXPERIMENTS:
        raise UsageError(f"{path}: experiment: got {record['experiment']!r}, wanted one of {', '.join(EXPERIMENTS)}")
    return record


def _configuration(folder: Path, experiment: Experiment[Any], record: Mapping[str, Any]) -> Any:
    """Return the settings of the run; they must be settings of today, all of them, for the figures depend on them."""
    settings: dict[str, Any] = record["configuration"]
    texts = {name: ",".join(map(str, x)) if isinstance(x, list) else str(x) for name, x in settings.items()}
    try:
        config = with_settings(experiment.config_type(), texts)
        for name, value in _as_json(config).items():
            if name not in settings:
                raise UsageError(f"{name}: missing")
            if value != settings[name]:
                raise UsageError(f"{name}: got {settings[name]!r}")
    except UsageError as error:
        made_by = record["versions"].get("layerbits", "unknown")
        raise UsageError(
            f"{folder / 'run.json'}: not the settings of {record['experiment']} in this version ({error}); "
            f"use the one that made it, {made_by}"
        ) from error
    return config


def _as_json(config: Any) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return settings


def _files(folder: Path, ending: str) -> list[Path]:
    """Files of the run and of its variants, those of the run first; no links, which may lead out of the folder."""
    found = [
        path
        for path in folder.rglob(f"*.{ending}")  # follows no links to folders
        if not path.name.startswith(DRAFT_PREFIX) and path.is_file() and not path.is_symlink()
    ]
    return sorted(found, key=lambda path: (len(path.parts), path))


def _last_written(folder: Path) -> datetime.datetime:
    """When the run last wrote a record or a table."""
    newest = max(path.stat().st_mtime for path in (folder / "run.json", *_files(folder, "csv")))
    return datetime.datetime.fromtimestamp(newest, datetime.timezone.utc)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is replaced; None where there is none."""
    try:
        status = path.lstat()  # of a link itself, for that is what is replaced
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _copy_table(folder: Path, path: Path, snapshot: Path) -> Table:
    place = path.relative_to(folder)
    (snapshot / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, snapshot / place)
    try:
        with (snapshot / place).open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            columns = next(rows, [])
            return Table(place.as_posix(), sum(1 for _ in rows), columns)
    except (ValueError, csv.Error):
        return Table(place.as_posix(), None, [])


def _draw(experiment: Experiment[Any], config: Any, snapshot: Path) -> list[str]:
    """Draw what can be drawn of the tables in `snapshot`; return why not all could, if so."""
    try:
        experiment.plot(config, snapshot)
    except Exception as error:  # whatever half a table, or one that somebody edited, may lead to
        _LOG.debug("not drawn", exc_info=True)
        reason = str(error) if isinstance(error, LayerbitsError) else f"{type(error).__name__}: {error}"
        return [f"not all figures could be drawn: {reason}"]
    return []


def _charts(folder: Path, notes: list[str]) -> dict[str, Chart]:
    """Return what can be drawn of the tables that every training leaves, and note why not all can, if so."""
    found: dict[str, Chart] = {}
    for path in _files(folder, "csv"):
        if path.name in CHARTS:
            if importlib.util.find_spec("plotly") is None:
                notes.append("no interactive charts, for plotly is not installed; pip install 'layerbits[report]'")
                return {}
            try:
                chart = CHARTS[path.name](path)
            except UsageError as error:
                notes.append(f"no chart: {error}")
            else:
                if chart:
                    found[path.relative_to(folder).as_posix()] = chart
    return found


def _replace(path: Path, content: bytes) -> None:
    # A draft of its own: the run, or another report, may be writing to the same file.
    with replacing(path, writer=f"report-{os.getpid()}-") as draft:
        draft.write_bytes(content)
