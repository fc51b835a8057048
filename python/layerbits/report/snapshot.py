"""Copy the tables of a run, and the settings of measurements; the run may write to its folder at the same time."""

from __future__ import annotations

import csv
import datetime
import shutil
from pathlib import Path

from layerbits._base import DRAFT_PREFIX
from layerbits.report.page import Table
from layerbits.training import SETTINGS_FILE


def list_files(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a run and of its variants, the files of the run first.

    Drafts and links are left out; a link may lead to a file outside the folder.
    """
    files = [
        path
        for path in folder.rglob(f"*.{suffix}")  # rglob follows no link to a folder
        if not path.name.startswith(DRAFT_PREFIX) and path.is_file() and not path.is_symlink()
    ]
    return sorted(files, key=lambda path: (len(path.parts), path))


def copy_tables(folder: Path, snapshot: Path) -> list[Table]:
    """Copy all tables of a run, and the settings of its measurements, into `snapshot`, and describe the tables."""
    for path in list_files(folder, "json"):
        if path.name == SETTINGS_FILE:
            _copy(folder, path.relative_to(folder), snapshot)
    return [_copy_table(folder, path.relative_to(folder), snapshot) for path in list_files(folder, "csv")]


def last_written(folder: Path) -> datetime.datetime:
    """Return the time at which the run last wrote its record or a table."""
    paths = [folder / "run.json", *list_files(folder, "csv")]
    newest = max(path.stat().st_mtime for path in paths if path.exists())  # the folder of a Monitor has no run.json
    return datetime.datetime.fromtimestamp(newest, datetime.timezone.utc)


def file_stamp(path: Path) -> tuple[int, int] | None:
    """Return numbers that change when a file is replaced, or None if there is no file."""
    try:
        status = path.lstat()  # lstat, because a link itself would be replaced
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _copy_table(folder: Path, name: Path, snapshot: Path) -> Table:
    copy = _copy(folder, name, snapshot)
    try:
        with copy.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            columns = next(rows, [])
            return Table(name.as_posix(), sum(1 for _ in rows), columns)
    except (ValueError, csv.Error):
        return Table(name.as_posix(), None, [])


def _copy(folder: Path, name: Path, snapshot: Path) -> Path:
    copy = snapshot / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / name, copy)
    return copy
