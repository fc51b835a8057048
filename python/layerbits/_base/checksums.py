"""Checksums of tables, so that a table that was changed, cut, or copied from another run is found.

The file ``.NAME.sha256`` beside a table NAME has the SHA-256 of its content and the hash of its run. While the table is
replaced, the file has the hashes of the old and of the new content, so that a process that is killed in between leaves
a table that fits the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from layerbits._base.files import replacing
from layerbits._base.regular_files import open_regular, read_regular
from layerbits._base.table_run import NO_RUN, RUN_RECORD, table_run

CHANGED = "it was changed after it was written"

_LIMIT = 2**30  # bytes of a table
_CHECKSUMS_LIMIT = 2**12
_PART = 2**20
_READS = 5
_SECONDS_BETWEEN_READS = 0.02


class ChangedTableError(ValueError):
    """A table has another content than its checksum says; `remedy` says what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.remedy = f"restore it, or delete {checksum_path(path).name} to read it unverified"


class OtherRunError(ChangedTableError):
    """A table was written by another run than that of its folder, or under another name."""


def checksum_path(path: Path) -> Path:
    """Return the path of the checksums of a table."""
    return path.with_name(f".{path.name}.sha256")


def write_verified(path: Path, content: bytes) -> None:
    """Replace a table and its checksum.

    Raises
    ------
    UsageError
        The system refuses to write.
    """
    checksums, run = checksum_path(path), table_run(path)
    line = _line(content, run)
    earlier = b""
    with contextlib.suppress(OSError):  # there is no earlier table
        earlier = read_regular(checksums, limit=_CHECKSUMS_LIMIT) if checksums.exists() else _line(_content(path), run)
    _write(checksums, line + earlier)
    _write(path, content)
    _write(checksums, line)


def read_verified(path: Path) -> tuple[bytes, bool]:
    """Return the content of a table, and whether a checksum verifies the content.

    Raises
    ------
    ChangedTableError
        The content has another checksum.
    OtherRunError
        The table is of another run.
    OSError
        Raised by `read_regular`.
    """
    for _ in range(_READS):
        content = _content(path)
        result = _is_verified(path, hashlib.sha256(content).hexdigest())
        if result is not None:
            return content, result
        time.sleep(_SECONDS_BETWEEN_READS)  # the table may have been replaced between the two reads
    raise ChangedTableError(path, CHANGED)


def is_verified(path: Path) -> bool:
    """Return whether a checksum verifies a table; the memory does not grow with the table.

    Raises
    ------
    ChangedTableError, OtherRunError, OSError
        For the reasons that `read_verified` states.
    """
    for _ in range(_READS):
        digest = hashlib.sha256()
        with os.fdopen(open_regular(path), "rb") as file:
            while part := file.read(_PART):
                digest.update(part)
        result = _is_verified(path, digest.hexdigest())
        if result is not None:
            return result
        time.sleep(_SECONDS_BETWEEN_READS)  # the table may have been replaced between the two reads
    raise ChangedTableError(path, CHANGED)


def write_checksum(path: Path) -> None:
    """Write the checksum of an existing table."""
    _write(checksum_path(path), _line(_content(path), table_run(path)))


def _is_verified(path: Path, digest: str) -> bool | None:
    """Return True if the checksum fits, False if there is none, and None if it differs; raise OtherRunError."""
    try:
        lines = read_regular(checksum_path(path), limit=_CHECKSUMS_LIMIT).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return False
    runs = dict(line.partition(" ")[::2] for line in lines)
    if digest not in runs:
        return None
    if table_run(path) not in (NO_RUN, runs[digest]):
        raise OtherRunError(path, f"it is of another run than {RUN_RECORD}, or was renamed")
    return True


def _content(path: Path) -> bytes:
    return read_regular(path, limit=_LIMIT)


def _line(content: bytes, run: str) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()} {run}\n".encode()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as draft:
        draft.write_bytes(content)
