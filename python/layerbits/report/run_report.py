"""Plot the figures of a run and write its report, or a report that compares several runs.

A run may continue in another process: `write_report` uses the files that exist, and writes only figures and
report.html, which no run reads.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from layerbits import plots
from layerbits._base import LayerbitsError, UsageError, file_stamp, listed, replacing
from layerbits.report.charts import CopiedRun, read_charts
from layerbits.report.folders import left_out_files, list_files, run_folders
from layerbits.report.information_figure import INFORMATION_FIGURE
from layerbits.report.page import RunContent, render_page
from layerbits.report.record import read_record
from layerbits.report.seeds import over_seeds_table, run_names, seed_groups
from layerbits.report.snapshot import copy_tables, last_written
from layerbits.report.sweep_notes import named_by_settings, notes_on_sweeps
from layerbits.report.thinning import MAX_ROWS, Table
from layerbits.training import INFORMATION_FILE, MEASURES_FILE, read_history

_LOG = logging.getLogger("layerbits")

_PAGE = "report.html"
_PAGE_SUFFIXES = (".html", ".htm")
_MAX_NOTES = 20


class Report(NamedTuple):
    """The path of a report, and notes on missing figures and charts, with reasons."""

    page: Path
    notes: tuple[str, ...]


def write_report(
    directories: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
) -> Report:
    """Write an HTML page of a run, and plot its figures, or write a page that compares several runs.

    Parameters
    ----------
    directories : path, or sequence of paths
        Folders of finished, interrupted or running runs, or of a `Monitor`: any folders with an information.csv. A
        folder that is no run stands for the runs in its subfolders; that of a sweep, for those that have finished. Runs
        that differ in the seed alone are plotted as one, with bands.
    out : path, optional
        The page; by default report.html in the folder, or for several folders in the working directory.

    Returns
    -------
    Report
        Path of the page, and notes on missing figures and charts, with reasons.

    Raises
    ------
    UsageError
        matplotlib is not installed, or a folder has neither a run of this version nor an information.csv, or no table
        with rows; no file is written then. Or the page cannot be written.
    """
    plots.require_matplotlib()
    given = [directories] if isinstance(directories, str | os.PathLike) else directories
    folders = run_folders([Path(directory) for directory in given])
    page = Path(given[0] if len(given) == 1 else "", _PAGE) if out is None else Path(out)
    if out is not None and (page.is_dir() or not page.absolute().parent.is_dir()):
        raise UsageError(f"out: got {os.fspath(out)!r}, wanted a file in a folder that exists")
    if out is not None and os.path.lexists(page) and page.suffix.lower() not in _PAGE_SUFFIXES:
        raise UsageError(f"out: got {os.fspath(out)!r}, which exists and is no page, wanted another name, or .html")
    try:
        with tempfile.TemporaryDirectory(prefix="layerbits-") as temporary:
            notes = _write(page, folders, notes_on_sweeps(map(Path, given)), Path(temporary))
    except OSError as error:
        raise UsageError(f"{error.filename or page}: {error.strerror}, so no report could be written") from error
    return Report(page, tuple(notes))


def _write(page: Path, folders: Sequence[Path], notes: list[str], temporary: Path) -> list[str]:
    """Write the report from copies of the tables in the empty folder `temporary`, because a run may replace tables."""
    stamps = {path: file_stamp(path) for path in folders[0].rglob("*.png")}  # also links, which are replaced
    last_writes = {folder: last_written(folder) for folder in folders}
    runs, notes_on_runs = _copy_runs(folders, temporary)
    runs, common_settings = named_by_settings(runs)
    records = [run.record for run in runs]
    groups = seed_groups([run.name for run in runs], records)
    charts, chart_notes = read_charts(runs, groups)
    is_monitor = len(runs) == 1 and runs[0].record.experiment is None
    if is_monitor and chart_notes and not any(charts[kind] for kind in ("information", "training", "points")):
        raise UsageError(chart_notes[0].removeprefix("no chart: "))
    # A page of several runs compares them by charts; the figures of a run are on its own page.
    figure_notes, figures = _plot(runs[0], stamps) if len(folders) == 1 else ([], {})
    fallback = figures.pop(INFORMATION_FIGURE, b"") if is_monitor else b""
    contents = [
        RunContent(
            run.name, run.record.content,
            folder=run.folder.absolute(), description=run.record.description, defaults=run.record.defaults,
            last_written=last_writes[run.folder], tables=run.tables, figures=figures,
        )
        for run in runs
    ]  # fmt: skip
    notes += [*notes_on_runs, *figure_notes, *chart_notes, *(note for run in runs for note in _notes_on_files(run))]
    if len(notes) > _MAX_NOTES:
        notes[_MAX_NOTES:] = [f"{len(notes) - _MAX_NOTES} further notes are left out"]
    html = render_page(contents, charts, notes, fallback, over_seeds_table(groups, records), common_settings)
    _replace(page, html.encode(errors="replace"))
    return notes


def _copy_runs(folders: Sequence[Path], temporary: Path) -> tuple[list[CopiedRun], list[str]]:
    """Copy the tables of the runs, and return a note on each run of several that is damaged or has no rows."""
    runs: list[CopiedRun] = []
    notes: list[str] = []
    for name, folder in zip(run_names(folders), folders, strict=True):
        snapshot = temporary / str(len(runs))
        try:
            record = read_record(folder)
            tables = copy_tables(folder, snapshot, max_rows=MAX_ROWS // len(folders))
            if not any(table.rows for table in tables):
                _check_tables(folder, tables)
                raise UsageError(f"{folder}: nothing to show yet, because no table has rows; try again later")
        except UsageError as error:
            if len(folders) == 1:
                raise
            notes.append(f"left out: {error}")
        else:
            runs.append(CopiedRun(name, folder, record, snapshot, tables))
    if not runs:
        raise UsageError(notes[0].removeprefix("left out: "))
    return runs, notes


def _check_tables(folder: Path, tables: Sequence[Table]) -> None:
    """Raise a UsageError if a table cannot be read."""
    if (folder / INFORMATION_FILE).exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a table without rows needs no checksum
            read_history(folder)  # names the damage
    for table in tables:
        if table.rows is None:
            raise UsageError(f"{folder / table.name}: cannot be read, because it is no CSV in UTF-8; restore it")


def _notes_on_files(run: CopiedRun) -> list[str]:
    notes = [f"{run.folder / table.name}: {table.thinned}" for table in run.tables if table.thinned]
    # Beside these two tables of a Monitor stand tables that the user writes, such as scatter.csv.
    written = (INFORMATION_FILE, MEASURES_FILE) if run.record.experiment is None else None
    unverified = [
        table.name for table in run.tables if table.unverified and (written is None or Path(table.name).name in written)
    ]
    if unverified:
        have = "it has" if len(unverified) == 1 else "they have"
        notes.append(f"{run.folder}: unverified, because {have} no checksum: {listed(unverified)}")
    return [*notes, *(note for suffix in ("csv", "png") for note in left_out_files(run.folder, suffix))]


def _plot(run: CopiedRun, stamps: dict[Path, tuple[int, int] | None]) -> tuple[list[str], dict[str, bytes]]:
    """Plot the figures of a run from copies of its tables; return a note if not all could be plotted, and all figures.

    A file whose stamp differs from that in `stamps` stays: the run has plotted the figure in the meantime, from newer
    tables.
    """
    notes = []
    try:
        run.record.plot(run.snapshot)
    except Exception as error:  # an incomplete or edited table may cause any exception
        _LOG.debug("figures were not plotted", exc_info=True)
        reason = str(error) if isinstance(error, LayerbitsError) else f"{type(error).__name__}: {error}"
        notes.append(f"not all figures could be plotted: {reason}".replace(str(run.snapshot), str(run.folder)))
    for figure in list_files(run.snapshot, "png"):
        path = run.folder / figure.relative_to(run.snapshot)
        if file_stamp(path) == stamps.get(path):
            _replace(path, figure.read_bytes())
    paths = list_files(run.folder, "png")
    return notes, {path.relative_to(run.folder).as_posix(): path.read_bytes() for path in paths}


def _replace(path: Path, content: bytes) -> None:
    # The process number keeps the draft apart from drafts of the run and of other reports on the same file.
    with replacing(path, writer=f"report-{os.getpid()}-") as draft:
        draft.write_bytes(content)
