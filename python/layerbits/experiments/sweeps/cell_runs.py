"""Run a cell of a sweep in a process of its own; an executor may call `run_cell` on any machine that has the folder."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerbits._base import RUN_RECORD, UsageError, read_json
from layerbits.experiments.framework.child_processes import FINISHED, run_program
from layerbits.experiments.framework.child_program import locked_when_free
from layerbits.experiments.framework.run_folder import require_same_run

_COMMAND = (sys.executable, "-m", "layerbits.experiments.sweeps.cell_program")
NOT_RUN = "not run"


@dataclasses.dataclass(frozen=True)
class CellRun:
    """The arguments of `run_cell`; `settings` are texts, `folder` is absolute.

    `configuration` has all settings, as run.json has them. `timeout` is in seconds, and None for no limit; `threads` is
    the number of threads of torch and of the kernels.
    """

    experiment: str
    settings: Mapping[str, str]
    configuration: Mapping[str, Any]
    folder: str
    quick: bool
    threads: int
    timeout: float | None

    @property
    def log(self) -> Path:
        """The file beside the folder that gets the output of the process."""
        return Path(f"{self.folder}.log")

    def summary(self) -> dict[str, float] | None:
        """Return the summary of the run if it has finished, else None.

        Raises
        ------
        UsageError
            The folder has a finished run of another experiment or with other settings.
        """
        folder = Path(self.folder)
        record = _finished_record(folder)
        if record is None:
            return None
        try:
            require_same_run(folder, record, self.experiment, self.configuration)
        except UsageError as error:
            raise UsageError(f"{folder}: holds another run ({error})") from error
        summary: dict[str, float] = record.get("summary", {})
        return summary


def is_finished(folder: Path) -> bool:
    """Return whether a folder has the record of a finished run."""
    return _finished_record(folder) is not None


def wait_for_end(run: CellRun) -> None:
    """Wait until the process of a cell, which outlives its executor by some seconds, has ended."""
    with contextlib.suppress(OSError, UsageError):  # there is no folder, or the process does not end
        locked_when_free(Path(run.folder)).release()


def _finished_record(folder: Path) -> dict[str, Any] | None:
    try:
        record = read_json(folder / RUN_RECORD)
    except (OSError, UsageError):
        return None
    return record if record.get("status") == FINISHED else None


def run_cell(run: CellRun, stop: threading.Event | None = None) -> tuple[str, str]:
    """Run a cell, or continue it, in a new process, and return its status and the reason of a failure.

    The process ends with the process that calls this function, after `run.timeout`, and when `stop` is set.
    """
    task = dataclasses.asdict(run) | {"settings": dict(run.settings)}
    return run_program(_COMMAND, task, run.log, timeout=run.timeout, stop=stop)
