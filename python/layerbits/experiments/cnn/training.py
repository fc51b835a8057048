"""Training of the convolutional networks: every variant with every seed.

All trainings of a seed have the same initial weights and the same warped batches. Each training has its own folder,
for instance noisy-0.05-seed-0, with training.csv and checkpoints. errors.csv has a row for each training: variant,
sigma, seed, errors, images. The errors are counted on the test images after the last epoch, with noise on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from layerbits.data import LabelledImages, warp
from layerbits.experiments.cnn.network import build_network, deterministic_convolutions
from layerbits.experiments.cnn.settings import CnnConfig, Variant
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import write_table
from layerbits.training import (
    Batches,
    Checkpoints,
    TrainingCurves,
    TrainingSession,
    log_spaced,
    read_training,
    single_threaded,
)
from layerbits.training import train as train_classifier

TrainTestImages = tuple[LabelledImages, LabelledImages]


class Errors(NamedTuple):
    """A row of errors.csv."""

    variant: str
    sigma: float
    seed: int
    errors: int
    images: int


def training_folder(path: Path, variant: Variant, seed: int) -> Path:
    """Return the folder of a training in the folder of its run."""
    return path / f"{variant.name}-seed-{seed}"


def train(config: CnnConfig, folder: RunFolder, images: TrainTestImages) -> None:
    """Train every variant with every seed, or continue; write the folders of the trainings and errors.csv."""
    train_images, test_images = (part.to(config.device) for part in images)
    trainings = (
        train_network(config, folder.path, (train_images, test_images), variant, seed)
        for seed, variant in config.trainings
    )
    errors: list[Errors] = []
    with deterministic_convolutions():
        for row in single_threaded(trainings):
            errors.append(row)
            write_table(folder.path / "errors.csv", Errors, errors)
    for variant in config.training_variants:
        counts = [row.errors for row in errors if row.variant == variant.name]
        folder.summary[f"errors_{variant.name}"] = float(np.mean(counts))
        if len(counts) > 1:
            folder.summary[f"errors_{variant.name}_standard_deviation"] = float(np.std(counts, ddof=1))


def train_network(
    config: CnnConfig,
    path: Path,
    images: TrainTestImages,
    variant: Variant,
    seed: int,
    *,
    after_epoch: Callable[[int], None] | None = None,
) -> Errors:
    """Train a network, or continue its training, in its folder, and return its row of errors.csv."""
    train_images, test_images = images
    folder = training_folder(path, variant, seed)
    model = build_network(config, variant, seed=seed, size=test_images.size).to(config.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.first_learning_rate, momentum=config.momentum)
    warp_batch = functools.partial(warp, degrees=config.degrees, shear=config.shear, shift=config.shift)
    batches = Batches(
        train_images.inputs, train_images.labels, batch_size=config.batch_size, seed=seed, transform=warp_batch
    )

    def train_epochs(epochs: Iterable[int]) -> Iterator[int]:
        for epoch in epochs:
            optimizer.param_groups[0]["lr"] = _learning_rate(config, epoch)
            yield from train_classifier(model, optimizer, batches, [epoch])

    run = config.identity(folder.name)
    checkpoints = Checkpoints(model, optimizer, at=config.measured_epochs, directory=folder, run=run)
    curves = TrainingCurves(
        model,
        {name: (part.inputs, part.labels) for name, part in (("train", train_images), ("test", test_images))},
        at=log_spaced(1, config.epochs, config.evaluations),
        directory=folder,
    )
    session = TrainingSession(checkpoints, curves, seed=seed)
    session.run(train_epochs, epochs=config.epochs, name=folder.name, after_epoch=after_epoch)
    accuracy = read_training(folder / "training.csv")[-1].accuracy
    count = len(test_images)
    return Errors(variant.name, variant.sigma, seed, round((1 - accuracy) * count), count)


def _learning_rate(config: CnnConfig, epoch: int) -> float:
    """Return the learning rate of an epoch; it falls geometrically from the first epoch to the last."""
    elapsed = (epoch - 1) / max(1, config.epochs - 1)
    return float(config.first_learning_rate ** (1 - elapsed) * config.last_learning_rate**elapsed)
