"""The main function of a program that `child_processes.run_program` runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layerbits._base import FolderLock, LayerbitsError, UsageError
from layerbits_command import text_of

_SECONDS_TO_END = 20.0  # until the process of an interrupted program is ended


def run_task(work: Callable[[dict[str, Any]], None]) -> int:
    """Do `work` on the task in the first line of stdin, and return the exit status.

    The status is 0, 2 for an error of layerbits or a lack of memory, with a message on stderr, or 130 for an
    interruption. The work is interrupted when stdin ends, so that the process does not outlive the one that started it.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        task = json.loads(sys.stdin.readline())
        threading.Thread(target=_interrupt_at_end_of_stdin, daemon=True).start()
        work(task)
    except LayerbitsError as error:
        print(f"layerbits: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"layerbits: {text_of(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def locked_when_free(folder: Path) -> FolderLock:
    """Lock a folder as soon as no process holds its lock: an earlier program may still be at its end.

    Raises
    ------
    UsageError
        The folder is not free within the time in which an interrupted program ends.
    """
    end = time.monotonic() + _SECONDS_TO_END + 10
    while True:
        try:
            return FolderLock(folder)
        except UsageError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _interrupt_at_end_of_stdin() -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_SECONDS_TO_END)
    os._exit(130)
