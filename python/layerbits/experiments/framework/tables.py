"""Tables of a study: rows are named tuples, a column is a field, and a table that is half made is gone on with."""

from __future__ import annotations

import time
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from layerbits._base import damaged_file, progress, read_csv, write_csv
from layerbits.training import single_threaded

_Row = TypeVar("_Row", bound=tuple[Any, ...])  # a NamedTuple of str, int and float
_Cell = TypeVar("_Cell")

_SECONDS_BETWEEN_SAVES = 2.0


def write_table(path: Path, kind: type[_Row], rows: Iterable[_Row]) -> None:
    """Write rows of the named tuple `kind` to a CSV file."""
    write_csv(path, _columns(kind), rows)


def read_table(path: Path, kind: type[_Row]) -> list[_Row]:
    """Read the rows that `write_table` wrote; none where there is no file yet.

    Raises
    ------
    UsageError
        If the file has other columns, or a cell is not of the field's type.
    """
    if not path.exists():
        return []
    parsers = typing.get_type_hints(kind).values()
    rows = read_csv(path, _columns(kind))
    try:
        return [kind(*(parse(cell) for parse, cell in zip(parsers, row, strict=True))) for row in rows]
    except ValueError as error:
        raise damaged_file(path, str(error)) from error


def fill_table(
    path: Path,
    kind: type[_Row],
    cells: Sequence[_Cell],
    measure: Callable[[_Cell], _Row],
    *,
    name: str,
    single_thread: bool = False,
) -> list[_Row]:
    """Measure a row for each cell and write the table, saving it every few seconds.

    Parameters
    ----------
    path : pathlib.Path
        Of the CSV file; rows that it has already are those of the first cells, and are kept.
    kind : type of NamedTuple
        Of the rows.
    cells : sequence
        What to measure, in an order that does not change.
    measure : callable
        Gives the row of a cell; must depend on nothing but the cell, so that a table made in parts is the same.
    name : str
        Of the progress bar.
    single_thread : bool, optional
        Whether the work of a cell is so small that threads would only wait for each other.

    Returns
    -------
    list of `kind`
        A row for each cell.

    Raises
    ------
    UsageError
        If the file is damaged.
    """
    rows = read_table(path, kind)
    if len(rows) > len(cells):
        raise damaged_file(path, f"it has {len(rows)} rows, wanted {len(cells)} at most")
    saved = time.monotonic()
    left = cells[len(rows) :]
    made = map(measure, left)
    for row in progress(single_threaded(made) if single_thread else made, name=name, total=len(left)):
        rows.append(row)
        if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
            write_table(path, kind, rows)
            saved = time.monotonic()
    write_table(path, kind, rows)
    return rows


def _columns(kind: type[Any]) -> Sequence[str]:
    columns: Sequence[str] = kind._fields
    return columns
