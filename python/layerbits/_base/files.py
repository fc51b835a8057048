"""Read and write the files of a run.

A file is replaced in one step, so that a killed run leaves either the old version or the new one.
"""

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
    """Yield the path of a draft in the same folder; the draft replaces `path` if the block ends without exception.

    Parameters
    ----------
    path : Path
        File to replace or to create.
    writer : str
        Part of the draft's name. Processes that may write the same file at the same time need different names.

    Raises
    ------
    UsageError
        If the system refuses to write, for instance because the disk is full.
    """
    draft = path.with_name(DRAFT_PREFIX + writer + path.name)
    try:
        yield draft
        os.replace(draft, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written to ({error.strerror}); make room or use another folder") from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself may be gone
            draft.unlink(missing_ok=True)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV; reading a float back gives the same bits."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Read the rows of a table written by `write_csv`.

    Raises
    ------
    UsageError
        If the file cannot be read, has other columns, or has a row of another length.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise damaged_file(path, str(error)) from error
    if header != list(columns):
        raise damaged_file(path, f"it has columns {header}, wanted {list(columns)}")
    if any(len(row) != len(header) for row in rows):
        raise damaged_file(path, f"it has a row without {len(header)} cells")
    return rows


def damaged_file(path: Path, reason: str) -> UsageError:
    """Return the error for a file of a run whose content was changed or lost."""
    return UsageError(f"{path}: cannot resume from this file: {reason}; start a new run in another folder")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an indented JSON object."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    UsageError
        If the file contains no JSON object.
    OSError
        If the file cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: got no JSON ({error}), wanted a JSON object; use another folder") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: got a {type(content).__name__}, wanted a JSON object; use another folder")
    return content
