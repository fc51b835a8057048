"""`python -m layerbits.experiments.cnn.training_program`: do the trainings of a run that stdin lists, one by one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from layerbits.experiments.cnn import training
from layerbits.experiments.framework.child_program import locked_when_free, run_task
from layerbits.experiments.registry import experiment_named


def _train(task: dict[str, Any]) -> None:
    """Do the trainings of a task of `training_processes`; print a line after each epoch."""
    torch.set_num_threads(1)
    experiment: Any = experiment_named(task["experiment"])
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in task["settings"].items()}
    config, path = experiment.config_type(**settings), Path(task["folder"])
    images = experiment.images(config)
    for index in task["trainings"]:
        seed, variant = config.trainings[index]
        folder = training.training_folder(path, variant, seed)
        folder.mkdir(exist_ok=True)
        lock = locked_when_free(folder)
        training.train_network(config, path, images, variant, seed, after_epoch=_print_epoch)
        lock.release()


def _print_epoch(epoch: int) -> None:
    print(f"epoch {epoch}", flush=True)


if __name__ == "__main__":
    sys.exit(run_task(_train))
