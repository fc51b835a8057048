"""Replace a file in one step, so that a killed process leaves either the old version or the new one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

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


def file_stamp(path: Path) -> tuple[int, int] | None:
    """Return numbers that change when a file is replaced, or None if there is no file."""
    try:
        status = path.lstat()  # lstat, because a link itself would be replaced
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
