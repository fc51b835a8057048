"""A lock, by which a single process writes to a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import weakref
from pathlib import Path

from layerbits._base.errors import UsageError

LOCK_FILE = ".lock"


class FolderLock:
    """The sole right to write to a folder, until `release`, deletion, or the end of the process.

    The file `LOCK_FILE` stays in the folder; the operating system drops the lock of a process that ends.

    Parameters
    ----------
    folder : Path
        A folder that exists.

    Raises
    ------
    UsageError
        Another process, which the message names, or another object of this process has the lock.
    OSError
        The lock file cannot be written to, is a link, or the file system has no locks.
    """

    def __init__(self, folder: Path) -> None:
        # A link is not followed. O_NONBLOCK: a named pipe in place of the file would block.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(folder / LOCK_FILE, flags, 0o666)
        self._close = weakref.finalize(self, os.close, file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 100).decode(errors="replace").strip() or "another process"
            self.release()
            raise UsageError(f"{folder}: {holder} writes to it; wait for its end, or name another folder") from error
        except OSError:
            self.release()
            raise
        with contextlib.suppress(OSError):  # only messages use the name, so a full disk is no error
            os.truncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Let others write to the folder; a second call does nothing."""
        self._close()
