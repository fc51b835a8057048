"""The experiment with a convolutional network; its instances differ in their images and settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from layerbits._base import UsageError
from layerbits.experiments.cnn import figures, representations, training
from layerbits.experiments.cnn.settings import CnnConfig
from layerbits.experiments.cnn.training_processes import train_in_processes
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder

CnnConfigT = TypeVar("CnnConfigT", bound=CnnConfig)

# Seconds on two cores of Zen 4.
_STEP_SECONDS = 1.3e-3  # per training step
_PIXEL_SECONDS = 7.4e-7  # per pixel in a training step
_EVALUATED_PIXEL_SECONDS = 3e-7
_NETWORK_SECONDS = 0.09  # per measured network
_UNIT_SECONDS = 1.4e-7  # per unit and measured image
_PAIR_SECONDS = 5.7e-11  # per unit and pair of measured images
_SLICE_SECONDS = 3.4e-6  # per frame and measured image
_FIGURE_SECONDS = 8.0


class DataSize(NamedTuple):
    """Number of training images, of test images, and of pixels of an image."""

    train: int
    test: int
    pixels: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CnnExperiment(Experiment[CnnConfigT]):
    """Train deterministic, noisy and dropout networks on images; measure their errors and representations.

    Attributes
    ----------
    images : callable
        Returns the training images and the test images.
    data_size : callable
        Returns the `DataSize` of `images`, or that of the settings if the setting that names the files is empty.
    """

    images: Callable[[CnnConfigT], training.TrainTestImages]
    data_size: Callable[[CnnConfigT], DataSize]

    def expected_seconds(self, config: CnnConfigT) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds.

        Raises
        ------
        UsageError
            The last batch of an epoch would have one image.
        DataError
            The images cannot be read, or are unsuitable for the experiment.
        """
        train, test, pixels = self.data_size(config)
        if train % config.batch_size == 1:
            raise UsageError(
                f"batch_size: got {config.batch_size}, which leaves one of {train} images for the last batch, and "
                "batch norm needs two; wanted another size"
            )
        steps = config.epochs * math.ceil(train / config.batch_size)
        train_seconds = steps * _STEP_SECONDS + config.epochs * train * pixels * _PIXEL_SECONDS
        evaluate_seconds = config.evaluations * (train + test) * pixels * _EVALUATED_PIXEL_SECONDS
        units = config.units + sum(channels * pixels / 4**layer for layer, channels in enumerate(config.channels))
        pair_seconds = test / 2 * _PAIR_SECONDS
        measure_seconds = config.measurements * (_NETWORK_SECONDS + test * units * (_UNIT_SECONDS + pair_seconds))
        sliced_layers = len(config.training_variants) * config.measurements * len(config.layers)
        slice_seconds = sliced_layers * config.frames * test * _SLICE_SECONDS
        n_processes = min(config.jobs, 2, len(config.trainings))
        seconds = (train_seconds + evaluate_seconds) / n_processes + measure_seconds
        return float(len(config.trainings) * seconds + slice_seconds + _FIGURE_SECONDS)

    def train(self, config: CnnConfigT, folder: RunFolder) -> None:
        """Train each variant with each seed; write a folder for each training, and errors.csv."""
        # Imported here, because the registry imports this module. A process finds the experiment by its name alone.
        from layerbits.experiments.registry import EXPERIMENTS

        if config.jobs > 1 and config.device == "cpu" and EXPERIMENTS.get(self.name) is self:
            train_in_processes(self.name, config, folder.path)
        training.train(config, folder, self.images(config))  # repeats no finished training

    def measure(self, config: CnnConfigT, folder: RunFolder) -> None:
        """Measure the representations of the test images; write the other tables."""
        representations.measure(config, folder, self.images(config)[1])

    def plot(self, config: CnnConfigT, path: Path) -> None:
        """Plot the tables in the folder `path`."""
        figures.plot(config, path, self.name)
