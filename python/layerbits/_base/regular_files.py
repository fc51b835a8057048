"""Read regular files alone: a named pipe would block, and a device or a link to one may have no end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MEBIBYTE = 2**20


def open_regular(path: Path) -> int:
    """Return a file descriptor for reading.

    Raises
    ------
    OSError
        The path is missing, or is not a regular file or a link to one.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a named pipe would wait for a writer
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(None, "it is not a regular file", str(path))
    return file


def read_regular(path: Path, *, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes.

    Raises
    ------
    OSError
        Raised by `open_regular`, or the file is larger.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(None, f"it has more than {limit // _MEBIBYTE} MiB", str(path))
    return content
