"""Run trainings side by side in processes, because the noise comes from torch's generators, one set per process."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from layerbits._base import LayerbitsError, progress
from layerbits.experiments.cnn.settings import CnnConfig
from layerbits.experiments.framework.child_processes import FINISHED, run_program

_COMMAND = (sys.executable, "-m", "layerbits.experiments.cnn.training_program")
_POLL_SECONDS = 0.5

_Outcome = Future[tuple[str, str]]


def train_in_processes(experiment: str, config: CnnConfig, path: Path) -> None:
    """Do all trainings of a run in `config.jobs` processes.

    The files of the trainings are those of trainings in this process, to the bit.

    Raises
    ------
    LayerbitsError
        A process failed; its output stays in training-N.log in the folder `path`.
    """
    count = len(config.trainings)
    parts = [list(range(first, count, config.jobs)) for first in range(min(config.jobs, count))]
    logs = [path / f"training-{number}.log" for number in range(len(parts))]
    task = {"experiment": experiment, "settings": dataclasses.asdict(config), "folder": str(path.absolute())}
    stop = threading.Event()
    with ThreadPoolExecutor(len(parts)) as threads:
        outcomes = [
            threads.submit(run_program, _COMMAND, task | {"trainings": part}, log, stop=stop)
            for part, log in zip(parts, logs, strict=True)
        ]
        try:
            for _ in progress(_epochs(outcomes, logs), name="epochs of all trainings", total=count * config.epochs):
                pass
        finally:
            stop.set()
    for log in logs:
        log.unlink()


def _epochs(outcomes: Sequence[_Outcome], logs: Sequence[Path]) -> Iterator[None]:
    """Yield once for each line of the logs until all processes have finished; raise LayerbitsError if one failed."""
    seen, waiting = 0, set(outcomes)
    while waiting:
        waiting = wait(waiting, timeout=_POLL_SECONDS).not_done
        lines = sum(log.read_bytes().count(b"\n") for log in logs if log.exists())
        yield from [None] * (lines - seen)
        seen = lines
        for outcome, log in zip(outcomes, logs, strict=True):
            status, reason = outcome.result() if outcome.done() else (FINISHED, "")
            if status != FINISHED:
                raise LayerbitsError(f"{log}: a training has {status}: {reason}; add --resume to continue the others")
