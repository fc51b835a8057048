"""CSV tables of an experiment: each row is a named tuple, and an incomplete table can be completed."""

from __future__ import annotations

import time
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from layerbits._base import damaged_cell, damaged_file, parse_csv, progress, write_csv
from layerbits.training import single_threaded

_Row = TypeVar("_Row", bound=tuple[Any, ...])  # a NamedTuple of str, int and float
_Cell = TypeVar("_Cell")

_SECONDS_BETWEEN_SAVES = 2.0


def write_table(path: Path, row_type: type[_Row], rows: Iterable[_Row]) -> None:
    """Write rows of a named tuple to a CSV file."""
    write_csv(path, _columns(row_type), rows)


def read_table(path: Path, row_type: type[_Row]) -> list[_Row]:
    """Read the rows that `write_table` wrote; return no rows if there is no file.

    Raises
    ------
    UsageError
        The file has other columns, or a cell is not of the field's type.
    """
    if not path.exists():
        return []
    return parse_csv(path, typing.get_type_hints(row_type), row_type)


def fill_table(
    path: Path,
    row_type: type[_Row],
    cells: Sequence[_Cell],
    measure: Callable[[_Cell], _Row],
    *,
    key: Callable[[_Cell], tuple[object, ...]],
    single_thread: bool = False,
) -> list[_Row]:
    """Compute a row for each cell and write the table, also every few seconds in between.

    Parameters
    ----------
    path : pathlib.Path
        The CSV file. Rows that it already has are the rows of the first cells, which are not measured again.
    row_type : type of NamedTuple
        Type of the rows.
    cells : sequence
        Arguments of `measure`, in an order that does not change from run to run.
    measure : callable
        Returns the row of a cell. The row must depend on the cell alone, so that a resumed table has the same rows.
    key : callable
        Returns the first fields of the row of a cell, with which rows of the file are compared.
    single_thread : bool, optional
        Whether to use one thread of torch, for cells with so little work that threads would only wait for each other.

    Returns
    -------
    list of `row_type`
        A row for each cell.

    Raises
    ------
    UsageError
        The file is damaged, or a row is not that of its cell.
    """
    rows = read_table(path, row_type)
    if len(rows) > len(cells):
        raise damaged_file(path, f"it has {len(rows)} rows, wanted {len(cells)} at most")
    for number, (row, cell) in enumerate(zip(rows, cells, strict=False), start=1):
        for column, got, wanted in zip(_columns(row_type), row, key(cell), strict=False):
            if got != wanted and str(got) != str(wanted):  # as texts, because NaN is not equal to itself
                raise damaged_cell(path, number, column, got, repr(wanted))
    last_save = time.monotonic()
    remaining_cells = cells[len(rows) :]
    new_rows = map(measure, remaining_cells)
    bar = progress(single_threaded(new_rows) if single_thread else new_rows, name=path.stem, total=len(remaining_cells))
    for row in bar:
        rows.append(row)
        if time.monotonic() - last_save > _SECONDS_BETWEEN_SAVES:
            write_table(path, row_type, rows)
            last_save = time.monotonic()
    write_table(path, row_type, rows)
    return rows


def _columns(row_type: type[Any]) -> Sequence[str]:
    columns: Sequence[str] = row_type._fields
    return columns
