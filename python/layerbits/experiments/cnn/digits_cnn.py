"""Noise in a convolutional network on scikit-learn's digits: errors, similarity and clusters.

The CNN of mnist-cnn for images that come with scikit-learn. Writes the tables of `cnn` and `cnn_measures` in
`layerbits.experiments`, digits-cnn.png, digits-cnn-epochs.png and digits-cnn-variants.png.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerbits.data import digits_dataset
from layerbits.experiments.cnn import experiment, representations, training
from layerbits.experiments.cnn import figures as cnn_figures
from layerbits.experiments.cnn.settings import CnnConfig
from layerbits.experiments.framework.configuration import require
from layerbits.experiments.framework.run_folder import RunFolder

_IMAGES = 1797


@dataclasses.dataclass(frozen=True)
class Config(CnnConfig):
    """Settings; see `CnnConfig`. What differs is ours, for images of 8 x 8 pixels, and few of them."""

    units: int = 32  # the signs of 128 units tell so few images apart, whatever they have learnt
    momentum: float = 0.9  # an epoch has 29 steps, where MNIST has 1875
    shift: float = 0.5  # as large in proportion to the image
    test_fraction: float = 0.5

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        require(self, "test_fraction", 0.05 <= self.test_fraction <= 0.95, "a number from 0.05 to 0.95")


QUICK: Mapping[str, Any] = {
    "repeats": 2,
    "sigmas": (0.05, 0.5),
    "epochs": 20,
    "evaluations": 8,
    "measurements": 5,
}


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    test = round(_IMAGES * config.test_fraction)
    return experiment.expected_seconds(config, train=_IMAGES - test, test=test, pixels=64)


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    train(config, folder)
    measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def data(config: Config) -> training.TrainTestImages:
    """Return the digits, split."""
    return digits_dataset(test_fraction=config.test_fraction, seed=config.seed)


def train(config: Config, folder: RunFolder) -> None:
    """Train each variant with each seed; leaves the folders of the trainings and errors.csv."""
    training.train(config, folder, data(config))


def measure(config: Config, folder: RunFolder) -> None:
    """Measure the representations of the test images; leaves the other tables."""
    representations.measure(config, folder, data(config)[1])


def draw(config: Config, path: Path) -> None:
    """Draw the figures from the tables in a folder, as far as they go."""
    cnn_figures.plot(config, path, "digits-cnn")
