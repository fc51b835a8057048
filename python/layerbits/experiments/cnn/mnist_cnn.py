"""Noise in a convolutional network on MNIST: errors, similarity and clusters; needs --set data=FOLDER.

The folder holds the four IDX files, by their standard names. Writes the tables of `cnn` and `cnn_measures` in
`layerbits.experiments`, mnist-cnn.png, mnist-cnn-epochs.png and mnist-cnn-variants.png.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerbits._base import DataError
from layerbits.data import SOURCE, mnist_dataset
from layerbits.experiments.cnn import experiment, representations, training
from layerbits.experiments.cnn import figures as cnn_figures
from layerbits.experiments.cnn.settings import CnnConfig
from layerbits.experiments.framework.configuration import needed, require_positive
from layerbits.experiments.framework.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Config(CnnConfig):
    """Settings; see `CnnConfig`. Where the folder has fewer images than asked for, it is all of them."""

    data: str = needed(f"the folder with the four files of {SOURCE}")
    train_images: int = 60_000  # the first of the folder
    test_images: int = 10_000

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        require_positive(self, "train_images", "test_images")


# A part of the images; fewer units, for the signs of 128 tell so few apart; momentum, to learn in few epochs.
QUICK: Mapping[str, Any] = {
    "repeats": 1,
    "sigmas": (0.05, 0.5),
    "units": 32,
    "momentum": 0.9,
    "epochs": 6,
    "evaluations": 4,
    "measurements": 3,
    "train_images": 1000,
    "test_images": 500,
}


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores; of the standard files, if no folder is given yet.

    Raises
    ------
    DataError
        If what the folder holds is not MNIST.
    """
    train, test, pixels = config.train_images, config.test_images, 28 * 28
    if config.data:
        train_data, test_data = data(config)
        train, test, pixels = len(train_data), len(test_data), train_data.inputs[0].numel()
    return experiment.expected_seconds(config, train=train, test=test, pixels=pixels)


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    train(config, folder)
    measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def data(config: Config) -> training.TrainTestImages:
    """Return the images that are asked for.

    Raises
    ------
    DataError
        If the folder does not hold MNIST, or there is nothing to measure in its first images.
    """
    train_data, test_data = mnist_dataset(config.data)
    train_data, test_data = train_data.first(config.train_images), test_data.first(config.test_images)
    least = 2 ** len(config.channels)  # a pooling each
    if min(test_data.size) < least:
        raise DataError(f"{config.data}: got images of {test_data.size} pixels, wanted {least} or more either way")
    sizes = test_data.labels.bincount()
    if (sizes > 0).sum() < 2 or sizes.max() < 2:
        raise DataError(
            f"{config.data}: got {len(test_data)} test images with no pair of one class, or none of two, wanted pairs "
            "of both kinds to compare; raise test_images, or take other files"
        )
    return train_data, test_data


def train(config: Config, folder: RunFolder) -> None:
    """Train each variant with each seed; leaves the folders of the trainings and errors.csv."""
    training.train(config, folder, data(config))


def measure(config: Config, folder: RunFolder) -> None:
    """Measure the representations of the test images; leaves the other tables."""
    representations.measure(config, folder, data(config)[1])


def draw(config: Config, path: Path) -> None:
    """Draw the figures from the tables in a folder, as far as they go."""
    cnn_figures.plot(config, path, "mnist-cnn")
