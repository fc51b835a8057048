"""`python -m layerbits.experiments.sweeps.cell_program`: continue a run; the first line of stdin says which, as JSON.

The run is interrupted when stdin ends, so that it does not outlive the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import torch

from layerbits._base import FolderLock, LayerbitsError, UsageError
from layerbits.experiments.framework.configuration import require_usable_device
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.registry import experiment_named

_SECONDS_TO_END = 20.0  # until the process of an interrupted run is ended


def main() -> int:
    """Continue the run, and return the exit status: 0, 2 for an error of layerbits, 130 for an interruption."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    run = json.loads(sys.stdin.readline())
    threading.Thread(target=_interrupt_at_end_of_stdin, daemon=True).start()
    torch.set_num_threads(run["threads"])
    try:
        experiment = experiment_named(run["experiment"])
        config = experiment.configuration(run["settings"], quick=run["quick"])
        require_usable_device(config)
        folder = RunFolder(_free(Path(run["folder"])), experiment=experiment.name, config=config, resume=True)
        with folder.running():
            experiment.run(config, folder)
    except LayerbitsError as error:
        print(f"layerbits: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _free(folder: Path) -> Path:
    """Return the folder when no process writes to it: an earlier attempt may still be at its end."""
    end = time.monotonic() + _SECONDS_TO_END + 10
    while folder.exists():
        try:
            FolderLock(folder).release()
            break
        except UsageError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    return folder


def _interrupt_at_end_of_stdin() -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_SECONDS_TO_END)
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
