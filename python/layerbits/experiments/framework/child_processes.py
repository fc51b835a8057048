"""Run a program of layerbits in a process of its own, which ends with the process that started it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.1
_SECONDS_TO_END = 25.0  # an interrupted program ends itself after 20

FINISHED, FAILED, TIMED_OUT, INTERRUPTED = "finished", "failed", "timed out", "interrupted"


def run_program(
    command: Sequence[str],
    task: Mapping[str, Any],
    log: Path,
    *,
    timeout: float | None = None,
    stop: threading.Event | None = None,
) -> tuple[str, str]:
    """Run a program of `child_program`, and return its status and the reason of a failure.

    The process ends with the process that calls this function, after `timeout` seconds, and when `stop` is set.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    task : mapping
        The task of the program, written to its stdin as JSON.
    log : Path
        File to which the output of the program is appended.
    """
    end = math.inf if timeout is None else time.monotonic() + timeout
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},  # lines of stdout and stderr in the order of their writing
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the caller alone, which ends its programs
        ) as process,
    ):
        assert process.stdin is not None
        status = INTERRUPTED
        try:
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
            while process.poll() is None:
                if time.monotonic() > end:
                    return TIMED_OUT, f"it took more than {timeout:g} s"
                if stop is not None and stop.is_set():
                    return INTERRUPTED, "it was interrupted"
                time.sleep(_POLL_SECONDS)
        except BrokenPipeError:
            status = FAILED  # the process ended before it read its task
        finally:
            _end(process)
    status = FINISHED if process.returncode == 0 else FAILED
    return status, "" if status == FINISHED else _reason(log, process.returncode)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the process by closing its stdin, and kill it if it does not end."""
    try:
        process.communicate(timeout=_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()


def _reason(log: Path, return_code: int) -> str:
    """Return the signal that ended a process, or the last line of its log."""
    if return_code < 0:
        return f"its process was killed by signal {-return_code}"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    return lines[-1][:500] if lines else f"exit status {return_code}"
