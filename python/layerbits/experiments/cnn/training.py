"""Training of the convolutional networks: every variant with every seed.

All trainings of a seed start from the same weights and see the same warped batches. Each training has its own folder,
for instance noisy-0.05-seed-0, with training.csv and checkpoints. errors.csv has a row for each training: variant,
sigma, seed, errors, images. Its errors are those on the test images after the last epoch, with noise on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from layerbits._base import progress
from layerbits.data import LabelledImages, warp
from layerbits.experiments.cnn.network import build_network, deterministic_convolutions
from layerbits.experiments.cnn.settings import CnnConfig, Variant
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import write_table
from layerbits.training import Checkpoints, TrainingCurves, log_spaced, read_training, single_threaded
from layerbits.training import train as train_epochs

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
    """Train every variant with every seed; write the folders of the trainings and errors.csv."""
    errors: list[Errors] = []
    on_device = images[0].to(config.device), images[1].to(config.device)
    epochs = itertools.chain.from_iterable(
        _train_network(config, folder, on_device, variant, seed, errors) for seed, variant in config.trainings
    )
    with folder.phase("training"), deterministic_convolutions():
        for _ in progress(single_threaded(epochs), name="epochs", total=config.epochs * len(config.trainings)):
            pass
    for variant in config.training_variants:
        counts = [row.errors for row in errors if row.variant == variant.name]
        folder.summary[f"errors_{variant.name}"] = float(np.mean(counts))
        if len(counts) > 1:
            folder.summary[f"errors_{variant.name}_standard_deviation"] = float(np.std(counts, ddof=1))


def _train_network(
    config: CnnConfig, folder: RunFolder, images: TrainTestImages, variant: Variant, seed: int, errors: list[Errors]
) -> Iterator[int]:
    """Yield each epoch when it is over, also those of an earlier part of the run."""
    train_images, test_images = images
    path = training_folder(folder.path, variant, seed)
    model = build_network(config, variant, seed=seed, size=test_images.size).to(config.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.first_learning_rate, momentum=config.momentum)
    checkpoints = Checkpoints(model, optimizer, at=config.measured_epochs, directory=path)
    resumed = checkpoints.resume()
    yield from range(1, resumed + 1)
    curves = TrainingCurves(
        model,
        {name: (part.inputs, part.labels) for name, part in (("train", train_images), ("test", test_images))},
        at=log_spaced(1, config.epochs, config.evaluations),
        directory=path,
        resumed_from=resumed,
    )

    def transform(inputs: Tensor, random: np.random.Generator) -> Tensor:
        return warp(inputs, random, degrees=config.degrees, shear=config.shear, shift=config.shift)

    def epochs() -> Iterator[int]:
        for epoch in range(resumed + 1, config.epochs + 1):
            optimizer.param_groups[0]["lr"] = _learning_rate(config, epoch)
            yield epoch

    for epoch in train_epochs(
        model, optimizer, train_images.inputs, train_images.labels,
        epochs=epochs(), batch_size=config.batch_size, seed=seed, transform=transform,
    ):  # fmt: skip
        curves.step(epoch)
        # Last, so that a run killed before it does all of this epoch again.
        checkpoints.step(epoch)
        yield epoch
    accuracy = read_training(path / "training.csv")[-1].accuracy
    count = len(test_images)
    errors.append(Errors(variant.name, variant.sigma, seed, round((1 - accuracy) * count), count))
    write_table(folder.path / "errors.csv", Errors, errors)


def _learning_rate(config: CnnConfig, epoch: int) -> float:
    """Return the learning rate of an epoch; it falls geometrically from the first epoch to the last."""
    progress_share = (epoch - 1) / max(1, config.epochs - 1)
    return float(config.first_learning_rate ** (1 - progress_share) * config.last_learning_rate**progress_share)
