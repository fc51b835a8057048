"""The experiment leaky-relu-pair: two scalar leaky-ReLU neurons in series.

The pair learns a step: 0 for the inputs 1 to 4, a quarter for 5 to 8. The shallow side of the first neuron compresses
inputs from 5 to 8, the shallow side of the second neuron inputs from 1 to 4. A run writes training.csv,
information.csv, neurons.csv (columns: `Neuron`) and leaky-relu-pair.png.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from layerbits._base import Doubles
from layerbits.calibration import Channel, leaky_relu_channel, line_channel
from layerbits.experiments.framework.configuration import require
from layerbits.experiments.framework.experiment import START_SECONDS, Experiment
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.scalar.figures import TrainingFigure
from layerbits.experiments.scalar.network import Parameters, ScalarTask
from layerbits.experiments.scalar.settings import ScalarSettings
from layerbits.experiments.scalar.training import summarize, train_neurons

_SLOPE = 0.1  # Source: an independent reproduction of the paper.


@dataclasses.dataclass(frozen=True)
class LeakyReluPairSettings(ScalarSettings):
    """Settings; see `ScalarSettings`.

    Parameters
    ----------
    start
        Initial weight and bias of the first neuron, then of the second. Source: an independent reproduction of the
        paper.
    """

    start: tuple[float, ...] = (0.0, 4.5, -1.0, 0.0)
    epochs: int = 200_000
    tolerance: float = 0.02
    shown_epochs: tuple[int, ...] = (10, 200, 1000, 3000, 10_000, 200_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range = all(abs(value) <= 10 for value in self.start)
        require(self, "start", len(self.start) == 4 and in_range, "4 numbers from -10 to 10")


def _channels(inputs: Doubles, parameters: Parameters, sigma: float) -> Sequence[Channel]:
    (weight, bias), (next_weight, next_bias) = parameters
    linear = weight * inputs + bias
    signals = np.maximum(linear, _SLOPE * linear)
    return [line_channel(signals, sigma), leaky_relu_channel(signals, next_weight, next_bias, _SLOPE, sigma)]


TASK = ScalarTask(
    inputs=tuple(map(float, range(1, 9))),
    targets=(0.0,) * 4 + (0.25,) * 4,
    activation=functools.partial(nn.LeakyReLU, _SLOPE),
    channels=_channels,
)


class LeakyReluPair(Experiment[LeakyReluPairSettings]):
    """Information in two scalar leaky-ReLU neurons over their training."""

    def expected_seconds(self, config: LeakyReluPairSettings) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        # The input of the second neuron is noisy: its draws grow with the inverse square of the tolerance.
        measuring_seconds = config.measurements * 9e-4 / config.tolerance**2
        return START_SECONDS + config.training_seconds(neurons=2) + measuring_seconds

    def train(self, config: LeakyReluPairSettings, folder: RunFolder) -> None:
        """Train and measure the pair; write training.csv, information.csv, neurons.csv and checkpoints."""
        weight1, bias1, weight2, bias2 = config.start
        train_neurons(config, TASK, [(weight1, bias1), (weight2, bias2)], folder)

    def measure(self, config: LeakyReluPairSettings, folder: RunFolder) -> None:
        """Summarize the tables."""
        folder.summary.update(summarize(config, folder.path))

    def plot(self, config: LeakyReluPairSettings, path: Path) -> None:
        """Save leaky-relu-pair.png from the tables in a folder."""
        marks = {math.log(8): "log 8", math.log(2): "log 2"}
        save_figure(TrainingFigure(config, TASK, path, marks).plot(), path / f"{self.name}.png")


LEAKY_RELU_PAIR = LeakyReluPair(
    name="leaky-relu-pair",
    description="Compression by two scalar leaky-ReLU neurons in series, which saturate on one side each.",
    config_type=LeakyReluPairSettings,
    # A larger learning rate gives the same curves in fewer epochs.
    quick={
        "learning_rate": 0.01,
        "epochs": 20_000,
        "evaluations": 100,
        "measurements": 24,
        "tolerance": 0.05,
        "shown_epochs": (1, 20, 100, 300, 1000, 20_000),
    },
)
