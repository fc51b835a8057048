"""Information in one noisy tanh neuron: over its training, and as its weight grows, around the truth by quadrature.

The neuron learns to tell the input 3 from -3, -1 and 1: the four values come apart and I(X;T) rises to log 4, then
saturation drives three of them together and it falls to H_b(1/4). Minutes in full, for the fall is logarithmic in time.
Writes training.csv, information.csv, neurons.csv (epoch, layer, weight, bias, truth), curves.csv (weight, sigma, value,
standard_error, lower, upper, truth, published: of the neuron with bias -2 weight), single-neuron.png and curves.png.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from layerbits import plots
from layerbits.calibration import Channel, line_channel, quadrature_truths
from layerbits.estimators import layer_information
from layerbits.experiments.framework.configuration import require, require_distinct, require_positive
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table
from layerbits.experiments.scalar import study as scalar

_SIGMAS = (0.005, 0.01, 0.05, 0.1, 0.2, 0.5)
# Known values to 1e-4 nats, by weight and then in the order of _SIGMAS.
_PUBLISHED = {
    0.05: (1.3863, 1.3863, 0.8328, 0.3908, 0.1320, 0.0236),
    0.2: (1.3863, 1.3863, 1.3689, 1.1454, 0.6859, 0.2099),
    0.5: (1.3863, 1.3863, 1.1654, 1.0590, 0.8454, 0.3979),
    1.0: (1.0926, 1.0540, 1.0226, 0.8450, 0.6626, 0.4753),
    2.0: (1.0394, 0.9741, 0.6031, 0.5730, 0.5650, 0.5056),
    5.0: (0.5624, 0.5623, 0.5624, 0.5623, 0.5623, 0.5110),
}
# And some between and beyond them, for a curve.
_BETWEEN = (0.03, 0.07, 0.1, 0.14, 0.28, 0.38, 0.65, 0.8, 1.2, 1.5, 1.75, 2.5, 3.0, 3.5, 4.0, 7.0)

_ONE_OF_FOUR = math.log(4) - 0.75 * math.log(3)  # H_b(1/4)


@dataclasses.dataclass(frozen=True)
class Config(scalar.Settings):
    """Settings; among the default weights and noise levels of the curves are those with known values."""

    weight: float = 0.0  # [public code] at the start
    bias: float = 0.0  # [public code] at the start
    momentum: float = 0.9  # without it, 10 times the steps go the same way; [public code] 1
    epochs: int = 1_000_000
    shown_epochs: tuple[int, ...] = (2, 30, 300, 3000, 30_000, 1_000_000)
    weights: tuple[float, ...] = tuple(sorted((*_PUBLISHED, *_BETWEEN)))
    sigmas: tuple[float, ...] = _SIGMAS

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        for name in ("weight", "bias"):
            require(self, name, abs(getattr(self, name)) < math.inf, "a number")
        require_positive(self, "weights", "sigmas")
        require(self, "sigmas", min(self.sigmas) >= 1e-4, "at least 1e-4, for the grid of the quadrature")
        require_distinct(self, "weights", "sigmas")


# Larger steps go the same way in fewer.
QUICK: Mapping[str, Any] = {
    "learning_rate": 0.01,
    "epochs": 60_000,
    "evaluations": 100,
    "measurements": 30,
    "tolerance": 0.02,
    "shown_epochs": (1, 6, 50, 500, 5000, 60_000),
}


class Point(NamedTuple):
    """A row of curves.csv; information in nats, NaN where no value is known."""

    weight: float
    sigma: float
    value: float
    standard_error: float
    lower: float
    upper: float
    truth: float
    published: float


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    measurements = config.measurements + len(config.weights) * len(config.sigmas)
    return 3 + scalar.training_seconds(config, neurons=1) + measurements * 0.05


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    train(config, folder)
    with folder.phase("information"):
        measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def train(config: Config, folder: RunFolder) -> None:
    """Train the neuron, measuring as it goes; leaves training.csv, information.csv, neurons.csv and checkpoints."""
    scalar.train(config, STUDY, [(config.weight, config.bias)], folder)
    folder.summary.update(scalar.summary(config, folder.path))


def measure(config: Config, folder: RunFolder) -> None:
    """Measure the information of neurons with bias -2 weight; leaves curves.csv."""
    neurons = [(weight, sigma) for weight in config.weights for sigma in config.sigmas]
    path = folder.path / "curves.csv"
    points = fill_table(path, Point, neurons, lambda neuron: _measure_one(config, *neuron), name="information")
    folder.summary["curves_largest_error"] = max(abs(point.value - point.truth) for point in points)
    folder.summary["curves_largest_half_width"] = max(point.upper - point.lower for point in points) / 2
    folder.summary["curves_intervals"] = len(points)
    held = [point for point in points if point.lower <= point.truth <= point.upper]
    folder.summary["curves_intervals_that_hold_the_truth"] = len(held)


def draw(config: Config, path: Path) -> None:
    """Draw single-neuron.png, the training, and curves.png from the tables in a folder, as far as they go."""
    # All four apart, two of them as one, three of them as one.
    marks = {math.log(4): "log 4", 1.5 * math.log(2): "3/2 log 2", _ONE_OF_FOUR: "$H_b(1/4)$"}
    scalar.draw(config, STUDY, path, file="single-neuron.png", marks=marks)
    _draw_curves(config, path)


def _draw_curves(config: Config, path: Path) -> None:
    """Draw what was measured, as bands, and the curves of quadrature."""
    points = read_table(path / "curves.csv", Point)
    figure = plots.new_figure(width=8, height=5)
    axes = figure.add_subplot()
    for sigma, color in zip(config.sigmas, plots.sequence_colors(len(config.sigmas)), strict=True):
        curve = np.array(sorted(point for point in points if point.sigma == sigma)).reshape(-1, len(Point._fields))
        x, _, value, _, lower, upper, truth, _ = curve.T
        plots.band(axes, x, lower, value, upper, color=color, label=f"{sigma:g}")
        axes.plot(x, truth, "k.", markersize=2)
    axes.plot([], [], "k.", markersize=2, label="by quadrature")
    plots.curve_panel(axes, xlabel="weight", ylabel="I(X;T) in nats, 95 % interval")
    plots.reference_line(axes, math.log(4), "log 4")
    plots.reference_line(axes, _ONE_OF_FOUR, "$H_b(1/4)$")
    axes.set_xlim(0.95 * min(config.weights), 2 * max(config.weights))  # room for the labels
    plots.legend_outside(axes, title="sigma")
    save_figure(figure, path / "curves.png")


def _channels(parameters: scalar.Parameters, sigma: float) -> Sequence[Channel]:
    [(weight, bias)] = parameters
    return [line_channel(np.tanh(weight * np.array(STUDY.inputs) + bias), sigma)]


STUDY = scalar.Study((-3.0, -1.0, 1.0, 3.0), (-1.0, -1.0, -1.0, 1.0), nn.Tanh, _channels)


def _measure_one(config: Config, weight: float, sigma: float) -> Point:
    parameters = [(weight, -2 * weight)]
    noisy = scalar.network(STUDY, parameters, sigma).to(config.device)
    table = layer_information(noisy, STUDY.data()[0].to(config.device), tolerance=config.tolerance, seed=config.seed)
    row = table["neuron1", "I(X;T)"]
    truth = quadrature_truths(*_channels(parameters, sigma))["I(X;T)"].value
    known = dict(zip(_SIGMAS, _PUBLISHED.get(weight, ()), strict=False))
    return Point(weight, sigma, row.value, row.standard_error, row.lower, row.upper, truth, known.get(sigma, math.nan))
