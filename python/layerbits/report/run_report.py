"""Plot the figures of a run and write its report.

The run may continue in another process: `write_report` uses the files that exist, and writes only figures and
report.html, which no run reads.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from layerbits import plots
from layerbits._base import LayerbitsError, UsageError, replacing
from layerbits.report.charts import CHARTS, Chart
from layerbits.report.page import PageContent, render_page
from layerbits.report.record import RunRecord, read_record
from layerbits.report.snapshot import copy_tables, file_stamp, last_written, list_files

_LOG = logging.getLogger("layerbits")

_PAGE = "report.html"


class Report(NamedTuple):
    """The path of a report, and notes on missing figures and charts, with reasons."""

    page: Path
    notes: tuple[str, ...]


def write_report(directory: str | os.PathLike[str]) -> Report:
    """Plot the figures of a run from its tables, and write ``report.html`` beside them.

    Parameters
    ----------
    directory : path
        Folder of a finished, interrupted or running run, or of a `Monitor`: any folder with an information.csv.

    Returns
    -------
    Report
        Path of the page, and notes on missing figures and charts, with reasons.

    Raises
    ------
    UsageError
        matplotlib is not installed, or the folder has neither a run of this version nor an information.csv, or no table
        with rows; no file is written then. Or the folder cannot be written to.
    """
    plots.require_matplotlib()
    folder = Path(directory)
    run = read_record(folder)
    try:
        with tempfile.TemporaryDirectory(prefix="layerbits-") as snapshot:
            return _write(folder, run, Path(snapshot))
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}, so no report could be written") from error


def _write(folder: Path, run: RunRecord, snapshot: Path) -> Report:
    """Write the report from copies of the tables in the empty folder `snapshot`, because the run may replace tables."""
    stamps = {path: file_stamp(path) for path in folder.rglob("*.png")}
    last_write = last_written(folder)
    tables = copy_tables(folder, snapshot)
    if not any(table.rows for table in tables):
        raise UsageError(f"{folder}: nothing to show yet, because no table has rows; try again later")
    charts, chart_notes = _make_charts(snapshot)
    notes = [note.replace(str(snapshot), str(folder)) for note in (*_plot(run, snapshot), *chart_notes)]
    for figure in list_files(snapshot, "png"):
        path = folder / figure.relative_to(snapshot)
        # If the file has changed, the run has plotted the figure in the meantime, from newer tables.
        if file_stamp(path) == stamps.get(path):
            _replace(path, figure.read_bytes())
    content = PageContent(
        run.content,
        folder=folder.absolute(),
        description=run.description,
        defaults=run.defaults,
        last_written=last_write,
        notes=notes,
        figures={path.relative_to(folder).as_posix(): path.read_bytes() for path in list_files(folder, "png")},
        charts=charts,
        tables=tables,
    )
    _replace(folder / _PAGE, render_page(content).encode(errors="replace"))
    return Report(folder / _PAGE, tuple(notes))


def _plot(run: RunRecord, snapshot: Path) -> list[str]:
    """Plot the figures from the tables in `snapshot`; return a note if not all could be plotted."""
    try:
        run.plot(snapshot)
    except Exception as error:  # an incomplete or edited table may cause any exception
        _LOG.debug("figures were not plotted", exc_info=True)
        reason = str(error) if isinstance(error, LayerbitsError) else f"{type(error).__name__}: {error}"
        return [f"not all figures could be plotted: {reason}"]
    return []


def _make_charts(folder: Path) -> tuple[dict[str, Chart], list[str]]:
    """Return the charts of training and information by file, and notes on the missing charts."""
    paths = [path for path in list_files(folder, "csv") if path.name in CHARTS]
    if paths and importlib.util.find_spec("plotly") is None:
        return {}, ["no interactive charts, because plotly is not installed; pip install 'layerbits[report]'"]
    charts: dict[str, Chart] = {}
    notes: list[str] = []
    for path in paths:
        try:
            chart = CHARTS[path.name](path)
        except UsageError as error:
            notes.append(f"no chart: {error}")
        else:
            if chart:
                charts[path.relative_to(folder).as_posix()] = chart
    return charts, notes


def _replace(path: Path, content: bytes) -> None:
    # The process number keeps the draft apart from drafts of the run and of other reports on the same file.
    with replacing(path, writer=f"report-{os.getpid()}-") as draft:
        draft.write_bytes(content)
