"""Copy the tables of a run, and the settings of measurements; the run may write to its folder at the same time."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

from layerbits._base import RUN_RECORD, OtherRunError, checksum_path, damaged_file, is_verified, write_checksum
from layerbits.report.folders import list_files
from layerbits.report.thinning import Table, copy_table
from layerbits.training import INFORMATION_FILE, MEASURES_FILE, SETTINGS_FILE

# No experiment writes as many rows over epochs, so figures from copies show whole tables.
_MAX_ROWS_OF_A_COPY = 200_000


def copy_tables(folder: Path, snapshot: Path, *, max_rows: int) -> list[Table]:
    """Copy all tables of a run, and the settings of its measurements, into `snapshot`, and describe the tables.

    The tables of information share `max_rows` rows.

    Raises
    ------
    UsageError
        A table is of another run than run.json.
    """
    for path in list_files(folder, "json"):
        if path.name in (RUN_RECORD, SETTINGS_FILE):
            copy = snapshot / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    paths = list_files(folder, "csv")
    share = max(500, max_rows // max(1, sum(path.name == INFORMATION_FILE for path in paths)))
    tables = []
    for path in paths:
        name = path.relative_to(folder)
        limit = share if path.name in (INFORMATION_FILE, MEASURES_FILE) else _MAX_ROWS_OF_A_COPY
        tables.append(_copy_verifiable(path, snapshot / name, name.as_posix(), limit))
    return tables


def _copy_verifiable(path: Path, copy: Path, name: str, max_rows: int) -> Table:
    """Copy a table; the copy of a changed table gets a checksum that does not fit, so that its reader refuses it."""
    table = copy_table(path, copy, name=name, max_rows=max_rows)
    if table.rows is None:
        return table
    try:
        unverified = not is_verified(path)
    except OtherRunError as error:
        raise damaged_file(path, str(error), remedy=error.remedy) from error
    except ValueError:
        shutil.copyfile(checksum_path(path), checksum_path(copy))
        return table
    write_checksum(copy)
    return table._replace(unverified=unverified)


def last_written(folder: Path) -> datetime.datetime:
    """Return the time at which the run last wrote its record or a table."""
    paths = [folder / RUN_RECORD, *list_files(folder, "csv")]
    newest = max(path.stat().st_mtime for path in paths if path.exists())  # the folder of a Monitor has no run.json
    return datetime.datetime.fromtimestamp(newest, datetime.timezone.utc)
