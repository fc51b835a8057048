"""Run a cell of a sweep in a process of its own; an executor may call `run_cell` on any machine that has the folder."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from layerbits._base import UsageError, read_json

_COMMAND = (sys.executable, "-m", "layerbits.experiments.sweeps.cell_program")
_POLL_SECONDS = 0.1
_SECONDS_TO_END = 25.0  # an interrupted run ends itself after 20

FINISHED, FAILED, TIMED_OUT, INTERRUPTED, NOT_RUN = "finished", "failed", "timed out", "interrupted", "not run"


@dataclasses.dataclass(frozen=True)
class CellRun:
    """A run of an experiment that `run_cell` shall do; `settings` are texts, `folder` is absolute.

    `timeout` is in seconds, and None for no limit; `threads` is the number of threads of torch and of the kernels.
    """

    experiment: str
    settings: Mapping[str, str]
    folder: str
    quick: bool
    threads: int
    timeout: float | None

    @property
    def log(self) -> Path:
        """The file beside the folder that gets the output of the process."""
        return Path(f"{self.folder}.log")

    def summary(self) -> dict[str, float] | None:
        """Return the summary of the run if it has finished, else None."""
        try:
            record = read_json(Path(self.folder, "run.json"))
        except (OSError, UsageError):
            return None
        return record.get("summary", {}) if record.get("status") == FINISHED else None


def run_cell(run: CellRun, stop: threading.Event | None = None) -> tuple[str, str]:
    """Run a cell, or continue it, in a new process, and return its status and the reason of a failure.

    The process ends with the process that calls this function, after `run.timeout`, and when `stop` is set.
    """
    task = dataclasses.asdict(run) | {"settings": dict(run.settings)}
    end = time.monotonic() + (float("inf") if run.timeout is None else run.timeout)
    with (
        run.log.open("ab") as log,
        subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which ends its runs
        ) as process,
    ):
        assert process.stdin is not None
        status = INTERRUPTED
        try:
            process.stdin.write(json.dumps(task).encode() + b"\n")
            process.stdin.flush()
            while process.poll() is None:
                if time.monotonic() > end:
                    return TIMED_OUT, f"it took more than {run.timeout:g} s"
                if stop is not None and stop.is_set():
                    return INTERRUPTED, "the sweep was interrupted"
                time.sleep(_POLL_SECONDS)
        except BrokenPipeError:
            status = FAILED  # the process ended before it read its task
        finally:
            _end(process)
    status = FINISHED if process.returncode == 0 else FAILED
    return status, "" if status == FINISHED else _reason(run.log, process.returncode)


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
