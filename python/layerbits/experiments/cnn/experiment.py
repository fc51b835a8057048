"""The experiment with a convolutional network, without its data."""

from __future__ import annotations

import math

from layerbits._base import UsageError
from layerbits.experiments.cnn.settings import CnnConfig

# Seconds on two cores of Zen 5.
_STEP_SECONDS = 9e-4  # a training step
_PIXEL_SECONDS = 6.5e-7  # a pixel in a training step
_EVALUATED_PIXEL_SECONDS = 2e-7
_NETWORK_SECONDS = 0.04  # a measured network
_UNIT_SECONDS = 6e-8  # a unit of an image in it
_PAIR_SECONDS = 2.5e-11  # a unit of a pair of images
_FIGURE_SECONDS = 3.0


def expected_seconds(config: CnnConfig, *, train: int, test: int, pixels: int) -> float:
    """Return about how many seconds a run takes on two cores, with so many images, each of so many pixels.

    Raises
    ------
    UsageError
        If an epoch ended with a batch of one image.
    """
    steps = config.epochs * math.ceil(train / config.batch_size)
    if train % config.batch_size == 1:
        raise UsageError(
            f"batch_size: got {config.batch_size}, which leaves one of {train} images for the last batch, and batch "
            "norm needs two; wanted another size"
        )
    training = steps * _STEP_SECONDS + config.epochs * train * pixels * _PIXEL_SECONDS
    evaluation = config.evaluations * (train + test) * pixels * _EVALUATED_PIXEL_SECONDS
    units = config.units + sum(channels * pixels / 4**layer for layer, channels in enumerate(config.channels))
    measurement = _NETWORK_SECONDS + test * units * (_UNIT_SECONDS + test / 2 * _PAIR_SECONDS)
    return float(len(config.trainings) * (training + evaluation + config.measurements * measurement) + _FIGURE_SECONDS)
