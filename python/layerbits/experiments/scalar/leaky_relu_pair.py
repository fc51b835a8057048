"""Compression by two scalar leaky-ReLU neurons in series, which saturate on one side each.

The pair learns a step: 0 for the inputs 1 to 4, a quarter for 5 to 8. The shallow side of the first neuron squeezes 5
to 8 together, that of the second 1 to 4. Writes training.csv, information.csv, neurons.csv (epoch, layer, weight, bias,
truth) and leaky-relu-pair.png.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from layerbits.calibration import Channel, leaky_relu_channel, line_channel
from layerbits.experiments.framework.configuration import require
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.scalar import study as scalar

_SLOPE = 0.1  # [public code]


@dataclasses.dataclass(frozen=True)
class Config(scalar.Settings):
    """Settings. [public code]: that of others, who reproduced the paper; its own is unknown."""

    start: tuple[float, ...] = (0.0, 4.5, -1.0, 0.0)  # [public code] weight and bias of the first neuron, of the second
    epochs: int = 200_000
    tolerance: float = 0.02
    shown_epochs: tuple[int, ...] = (10, 200, 1000, 3000, 10_000, 200_000)

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        small = all(abs(value) <= 10 for value in self.start)
        require(self, "start", len(self.start) == 4 and small, "4 numbers from -10 to 10")


# Larger steps go the same way in fewer.
QUICK: Mapping[str, Any] = {
    "learning_rate": 0.01,
    "epochs": 20_000,
    "evaluations": 100,
    "measurements": 24,
    "tolerance": 0.05,
    "shown_epochs": (1, 20, 100, 300, 1000, 20_000),
}


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    # The second neuron is behind noise, where the draws that it takes grow with the square of the accuracy.
    return scalar.training_seconds(config, neurons=2) + config.measurements * 5e-4 / config.tolerance**2


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    train(config, folder)
    measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def train(config: Config, folder: RunFolder) -> None:
    """Train the pair, measuring as it goes; leaves training.csv, information.csv, neurons.csv and checkpoints."""
    weight1, bias1, weight2, bias2 = config.start
    scalar.train(config, STUDY, [(weight1, bias1), (weight2, bias2)], folder)


def measure(config: Config, folder: RunFolder) -> None:
    """Sum up the tables."""
    folder.summary.update(scalar.summary(config, folder.path))


def draw(config: Config, path: Path) -> None:
    """Draw leaky-relu-pair.png from the tables in a folder, as far as they go."""
    marks = {math.log(8): "log 8", math.log(2): "log 2"}
    scalar.draw(config, STUDY, path, file="leaky-relu-pair.png", marks=marks)


def _channels(parameters: scalar.Parameters, sigma: float) -> Sequence[Channel]:
    (weight, bias), after = parameters
    first = weight * np.array(STUDY.inputs) + bias
    signals = np.maximum(first, _SLOPE * first)
    return [line_channel(signals, sigma), leaky_relu_channel(signals, *after, _SLOPE, sigma)]


STUDY = scalar.Study(
    tuple(map(float, range(1, 9))), (0.0,) * 4 + (0.25,) * 4, functools.partial(nn.LeakyReLU, _SLOPE), _channels
)
