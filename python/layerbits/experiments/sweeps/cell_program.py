"""`python -m layerbits.experiments.sweeps.cell_program`: run, or continue, the cell of a sweep that stdin names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from layerbits.experiments.framework.child_program import locked_when_free, run_task
from layerbits.experiments.framework.configuration import require_usable_device
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.registry import experiment_named


def _run(cell: dict[str, Any]) -> None:
    """Run the cell; the keys are the fields of `CellRun`."""
    torch.set_num_threads(cell["threads"])
    experiment = experiment_named(cell["experiment"])
    config = experiment.configuration(cell["settings"], quick=cell["quick"])
    require_usable_device(config)
    path = Path(cell["folder"])
    if path.exists():
        locked_when_free(path).release()
    folder = RunFolder(path, experiment=experiment.name, config=config, resume=True)
    with folder.running():
        experiment.run(config, folder)


if __name__ == "__main__":
    sys.exit(run_task(_run))
