"""Copy a table of a run; of a table over epochs that is too long for a page, copy a part and say which.

A table is read twice, row by row, so that its size does not matter for the memory.
"""

from __future__ import annotations

import array
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

MAX_ROWS = 20_000
"""Number of rows of a table, and of all tables of information together, that a page has at most."""

_MAX_LAYERS = 128
_LARGEST_EPOCH, _NO_EPOCH = 2**53, -(2**63)


class Table(NamedTuple):
    """A table of a run.

    The fields are its file, its number of rows (None if it cannot be read), its columns, a note if it was thinned, and
    whether it has no checksum.
    """

    name: str
    rows: int | None
    columns: list[str]
    thinned: str = ""
    unverified: bool = False


class _Part(NamedTuple):
    """The rows that a copy keeps: of these epochs and layers (None: of all), every `stride`-th."""

    epochs: frozenset[int] | None
    layers: frozenset[str]
    stride: int


def copy_table(source: Path, copy: Path, *, name: str, max_rows: int = MAX_ROWS) -> Table:
    """Copy a table and describe it; keep at most about `max_rows` rows of a table with a column ``epoch``.

    The copy has the first and the last epoch and others at equal distances in their order, and the first layers. A
    table that is no CSV, or whose epochs are no numbers, is described as unreadable and not copied.
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            columns, n_rows, part, note = _survey(file, max_rows)
            file.seek(0)
            with copy.open("w", newline="", encoding="utf-8") as target:
                csv.writer(target, lineterminator="\n").writerows(_kept_rows(file, columns, part))
    except (ValueError, csv.Error):  # UnicodeDecodeError is a ValueError
        copy.unlink(missing_ok=True)
        return Table(name, None, [])
    return Table(name, n_rows, columns, note)


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of the indices 0 to count - 1, the first and the last and others at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []


def _survey(file: TextIO, max_rows: int) -> tuple[list[str], int, _Part, str]:
    """Return the columns, the number of rows, the part to keep, and a note on the part, empty if it is the whole."""
    rows = csv.reader(file)
    columns = next(rows, [])
    if "epoch" not in columns:
        return columns, sum(1 for _ in rows), _Part(None, frozenset(), 1), ""
    epoch_column = columns.index("epoch")
    layer_column = columns.index("layer") if "layer" in columns else None
    epochs, layers, n_rows, has_more_layers = array.array("q"), dict[str, None](), 0, False
    for row in rows:
        n_rows += 1
        if layer_column is not None and len(row) > layer_column and row[layer_column] not in layers:
            if len(layers) == _MAX_LAYERS:
                has_more_layers = True
                continue
            layers[row[layer_column]] = None
        if len(row) > epoch_column:
            epochs.append(_epoch(row[epoch_column]))
    if n_rows <= max_rows:
        return columns, n_rows, _Part(None, frozenset(), 1), ""
    if _NO_EPOCH in epochs:
        raise ValueError("epochs that are no numbers")
    distinct = np.unique(np.frombuffer(epochs, np.int64)) if epochs else np.empty(0, np.int64)
    per_epoch = max(1.0, len(epochs) / max(1, len(distinct)))
    kept = distinct[evenly(len(distinct), max(2, int(max_rows / per_epoch)))].tolist()
    part = _Part(frozenset(kept), frozenset(layers), max(1, round(per_epoch * len(kept) / max_rows)))
    texts = [f"{len(kept):,} of {len(distinct):,} epochs"] if len(kept) < len(distinct) else []
    texts += [f"the first {_MAX_LAYERS} layers"] if has_more_layers else []
    texts += [f"one of {part.stride} rows"] if part.stride > 1 else []
    if not texts:
        return columns, n_rows, _Part(None, frozenset(), 1), ""
    return columns, n_rows, part, f"the page shows {', '.join(texts)}; the table has {n_rows:,} rows"


def _epoch(text: str) -> int:
    try:
        return max(-_LARGEST_EPOCH, min(int(text), _LARGEST_EPOCH))
    except ValueError:
        return _NO_EPOCH


def _kept_rows(file: TextIO, columns: list[str], part: _Part) -> Iterator[list[str]]:
    rows = csv.reader(file)
    if part.epochs is None:
        yield from rows
        return
    epoch_column = columns.index("epoch")
    layer_column = columns.index("layer") if "layer" in columns else None
    yield next(rows)
    n_kept = 0
    for row in rows:
        if len(row) != len(columns):
            yield row  # the reader of the copy refuses the row
            return
        if _epoch(row[epoch_column]) in part.epochs and (layer_column is None or row[layer_column] in part.layers):
            if n_kept % part.stride == 0:
                yield row
            n_kept += 1
