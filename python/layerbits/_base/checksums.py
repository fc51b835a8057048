"""Checksums of tables, so that a table that was changed or cut is found.

The file ``.NAME.sha256`` beside a table NAME has the SHA-256 of its content. While the table is replaced, it has those
of the old and of the new content, so that a process that is killed in between leaves a table that fits.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from layerbits._base.files import replacing
from layerbits._base.regular_files import open_regular, read_regular

_LIMIT = 2**30  # bytes of a table
_CHECKSUMS_LIMIT = 2**12
_PART = 2**20
_READS = 5
_SECONDS_BETWEEN_READS = 0.02


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
    checksums = checksum_path(path)
    checksum = _checksum(content)
    with contextlib.suppress(OSError):  # there is no earlier table
        earlier = read_regular(checksums, limit=_CHECKSUMS_LIMIT) if checksums.exists() else _checksum(_content(path))
        _write(checksums, checksum + earlier)
    with replacing(path) as draft:
        draft.write_bytes(content)
    _write(checksums, checksum)


def read_verified(path: Path) -> bytes:
    """Return the content of a table; a table without checksums is not verified.

    Raises
    ------
    ValueError
        The content has another checksum.
    OSError
        As `read_regular`.
    """
    for _ in range(_READS):
        content = _content(path)
        try:
            checksums = read_regular(checksum_path(path), limit=_CHECKSUMS_LIMIT).split()
        except FileNotFoundError:
            return content
        if _checksum(content).strip() in checksums:
            return content
        time.sleep(_SECONDS_BETWEEN_READS)  # the table may have been replaced between the two reads
    raise ValueError(
        f"it was changed after it was written; restore it, or delete {checksum_path(path).name} to use it unverified"
    )


def is_verified(path: Path) -> bool:
    """Return whether a table has its checksum, or none is there; the memory does not grow with the table."""
    for _ in range(_READS):
        digest = hashlib.sha256()
        with os.fdopen(open_regular(path), "rb") as file:
            while part := file.read(_PART):
                digest.update(part)
        try:
            checksums = read_regular(checksum_path(path), limit=_CHECKSUMS_LIMIT).split()
        except FileNotFoundError:
            return True
        if digest.hexdigest().encode() in checksums:
            return True
        time.sleep(_SECONDS_BETWEEN_READS)  # the table may have been replaced between the two reads
    return False


def _content(path: Path) -> bytes:
    return read_regular(path, limit=_LIMIT)


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as draft:
        draft.write_bytes(content)
