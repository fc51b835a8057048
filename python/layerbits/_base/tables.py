"""Read and write the files of a run: tables as CSV, with checksums, and records as JSON."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from layerbits._base.checksums import CHANGED, ChangedTableError, read_verified, write_verified
from layerbits._base.errors import UsageError
from layerbits._base.files import replacing
from layerbits._base.regular_files import read_regular
from layerbits._base.table_run import RECORD_LIMIT
from layerbits._base.user_line import stacklevel_of_user
from layerbits._base.validation import counted, shown_repr

_CHECKSUM = "checksum"

_Row = TypeVar("_Row")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], *, checksum: bool = True) -> None:
    """Write a table as CSV, with a checksum beside it unless none is wanted; a float is read back to the same bits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    if checksum:
        write_verified(path, text.getvalue().encode())
    else:
        with replacing(path) as draft:
            draft.write_bytes(text.getvalue().encode())


def read_csv(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Read the rows of a table written by `write_csv`.

    Raises
    ------
    UsageError
        If the file cannot be read, has other columns, has a row of another length, was changed, or is of another run.

    Warns
    -----
    RuntimeWarning
        The table has no checksum, like those of version 0.1.
    """
    try:
        content, is_verified = read_verified(path)
        text = content.decode("utf-8-sig")  # Excel writes a byte order mark
        header, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    except ChangedTableError as error:
        raise damaged_file(path, str(error), remedy=error.remedy) from error
    except (OSError, ValueError, csv.Error) as error:
        raise damaged_file(path, reason_of(error)) from error
    if header != list(columns):
        raise damaged_file(path, f"it has columns {header}, wanted {list(columns)}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise damaged_file(path, f"row {number} has {counted(len(row), 'cell')}, wanted {len(header)}")
    if not is_verified:
        message = f"{path}: it has no checksum, so it is read unverified"
        warnings.warn(message, RuntimeWarning, stacklevel=stacklevel_of_user())
    return rows


def parse_csv(path: Path, parsers: Mapping[str, Callable[[str], Any]], make: Callable[..., _Row]) -> list[_Row]:
    """Read a table by `read_csv`, and make a row of the parsed cells; a ValueError of a parser becomes a UsageError.

    Parameters
    ----------
    path
        The CSV file.
    parsers
        The function that parses a cell, for each column, in the order of the columns.
    make
        The function of the parsed cells of a row.
    """
    parsed = []
    for number, cells in enumerate(read_csv(path, list(parsers)), start=1):
        values = []
        for (column, parse), cell in zip(parsers.items(), cells, strict=True):
            try:
                values.append(parse(cell))
            except ValueError as error:
                raise damaged_file(path, f"row {number}, column {column!r}: {error}") from error
        parsed.append(make(*values))
    return parsed


def reason_of(error: Exception) -> str:
    """Return the text of an error without the number and the path of an error of the system."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def damaged_file(path: Path, reason: str, *, remedy: str = "use another folder") -> UsageError:
    """Return the error for a file of a run whose content was changed or lost."""
    return UsageError(f"{path}: cannot be read: {reason}; {remedy}")


def damaged_cell(path: Path, row: int, column: str, got: object, wanted: str) -> UsageError:
    """Return the error for a cell of a table that does not fit the settings of the run; rows count from 1."""
    reason = f"row {row} has the {column} {shown_repr(got)}, wanted {wanted}"
    return damaged_file(path, reason, remedy="restore it, or use another folder")


def write_json(path: Path, content: dict[str, Any], *, checksum: bool = False) -> None:
    """Write an indented JSON object, and if wanted its checksum as the last entry."""
    if checksum:
        content = {**content, _CHECKSUM: _checksum(content)}
    with replacing(path) as draft:
        draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object without its checksum; if it has a checksum, compare the two.

    Raises
    ------
    UsageError
        If the file cannot be read, contains no JSON object, or was changed.
    FileNotFoundError
        If there is no file.
    """
    try:
        content = json.loads(read_regular(path, limit=RECORD_LIMIT))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged_file(path, reason_of(error)) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: got no JSON ({error}), wanted a JSON object; use another folder") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: got a {type(content).__name__}, wanted a JSON object; use another folder")
    checksum = content.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _checksum(content):
        raise damaged_file(path, CHANGED, remedy=f"restore it, or delete its {_CHECKSUM}")
    return content


def _checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of an object as it is read back from JSON: keys become strings and tuples lists."""
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
