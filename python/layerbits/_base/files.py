"""The files of a run. Each is replaced as a whole, so a run that is killed leaves the old version or the new one."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from layerbits._base.errors import UsageError

DRAFT_PREFIX = ".draft-"


@contextlib.contextmanager
def replacing(path: Path, *, writer: str = "") -> Iterator[Path]:
    """Yield a path in the same folder to write to; it takes the place of `path` if the block ends without exception.

    Writers that may be at work on the same file at the same time need different names.

    Raises
    ------
    UsageError
        If the disk is full, or whatever else the system answers.
    """
    draft = path.with_name(DRAFT_PREFIX + writer + path.name)
    try:
        yield draft
        os.replace(draft, path)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written to ({error.strerror}); make room, or use another folder"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; floats are written so that they read back to the same bits."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Read the rows of a table that `write_csv` wrote.

    Raises
    ------
    UsageError
        If the file does not have these columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise damaged(path, str(error)) from error
    if header != list(columns):
        raise damaged(path, f"it has columns {header}, wanted {list(columns)}")
    if any(len(row) != len(header) for row in rows):
        raise damaged(path, f"it has a row that is not of {len(header)} cells")
    return rows


def damaged(path: Path, reason: str) -> UsageError:
    """Return the error for a file of a run that is not as it was written."""
    return UsageError(f"{path}: cannot go on from this file: {reason}; start again in another folder")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, indented."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    UsageError
        If the file holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: got no JSON ({error}), wanted a JSON object; use another folder") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: got a {type(content).__name__}, wanted a JSON object; use another folder")
    return content
