"""The experiment single-neuron: I(X;T) of one noisy tanh neuron over its training, and as its weight grows.

The neuron learns to separate the input 3 from -3, -1 and 1. The four values move apart and I(X;T) rises to log 4; then
saturation joins three of them and I(X;T) falls towards H_b(1/4). A full run takes minutes, because the fall is
logarithmic in time. The run writes training.csv, information.csv, neurons.csv (columns: `Neuron`), curves.csv (columns:
`Point`; neurons with bias -2 weight), single-neuron.png and curves.png.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import nn

from layerbits import plots
from layerbits._base import Doubles
from layerbits.calibration import Channel, line_channel
from layerbits.estimators import layer_information
from layerbits.experiments.framework.configuration import require, require_distinct, require_positive
from layerbits.experiments.framework.experiment import START_SECONDS, Experiment
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table
from layerbits.experiments.scalar.figures import TrainingFigure
from layerbits.experiments.scalar.network import Parameters, ScalarTask
from layerbits.experiments.scalar.settings import ScalarSettings
from layerbits.experiments.scalar.training import summarize, train_neurons

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABULATED_SIGMAS = (0.005, 0.01, 0.05, 0.1, 0.2, 0.5)
# Values of I(X;T) by quadrature, to 1e-4 nats, by weight and in the order of TABULATED_SIGMAS.
TABULATED = {
    0.05: (1.3863, 1.3863, 0.8328, 0.3908, 0.1320, 0.0236),
    0.2: (1.3863, 1.3863, 1.3689, 1.1454, 0.6859, 0.2099),
    0.5: (1.3863, 1.3863, 1.1654, 1.0590, 0.8454, 0.3979),
    1.0: (1.0926, 1.0540, 1.0226, 0.8450, 0.6626, 0.4753),
    2.0: (1.0394, 0.9741, 0.6031, 0.5730, 0.5650, 0.5056),
    5.0: (0.5624, 0.5623, 0.5624, 0.5623, 0.5623, 0.5110),
}
# Additional weights, for smooth curves.
_CURVE_WEIGHTS = (0.03, 0.07, 0.1, 0.14, 0.28, 0.38, 0.65, 0.8, 1.2, 1.5, 1.75, 2.5, 3.0, 3.5, 4.0, 7.0)

_ENTROPY_OF_QUARTER = math.log(4) - 0.75 * math.log(3)  # H_b(1/4)


@dataclasses.dataclass(frozen=True)
class SingleNeuronSettings(ScalarSettings):
    """Settings; see `ScalarSettings`. The default weights and sigmas of the curves include the tabulated ones.

    Parameters
    ----------
    weight, bias
        Initial weight and bias. Source: an independent reproduction of the paper.
    momentum
        Momentum of stochastic gradient descent. Without momentum the same curve takes 10 times the steps; the
        independent reproduction has in effect a momentum of 1.
    weights
        Weights at which the curves of I(X;T) have points.
    sigmas
        Standard deviations of the noise, a curve of I(X;T) for each.
    """

    weight: float = 0.0
    bias: float = 0.0
    momentum: float = 0.9
    epochs: int = 1_000_000
    shown_epochs: tuple[int, ...] = (2, 30, 300, 3000, 30_000, 1_000_000)
    weights: tuple[float, ...] = tuple(sorted((*TABULATED, *_CURVE_WEIGHTS)))
    sigmas: tuple[float, ...] = TABULATED_SIGMAS

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("weight", "bias"):
            require(self, name, abs(getattr(self, name)) < math.inf, "a number")
        require_positive(self, "weights", "sigmas")
        require(self, "sigmas", min(self.sigmas) >= 1e-4, "at least 1e-4, for the grid of the quadrature")
        require_distinct(self, "weights", "sigmas")


class Point(NamedTuple):
    """A row of curves.csv, in nats; `tabulated` is NaN if there is no tabulated value."""

    weight: float
    sigma: float
    value: float
    standard_error: float
    lower: float
    upper: float
    truth: float
    tabulated: float


def _channels(inputs: Doubles, parameters: Parameters, sigma: float) -> Sequence[Channel]:
    [(weight, bias)] = parameters
    return [line_channel(np.tanh(weight * inputs + bias), sigma)]


TASK = ScalarTask(
    inputs=(-3.0, -1.0, 1.0, 3.0), targets=(-1.0, -1.0, -1.0, 1.0), activation=nn.Tanh, channels=_channels
)


class SingleNeuron(Experiment[SingleNeuronSettings]):
    """Information in one scalar tanh neuron."""

    def expected_seconds(self, config: SingleNeuronSettings) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        measurements = config.measurements + len(config.weights) * len(config.sigmas)
        return START_SECONDS + config.training_seconds(neurons=1) + measurements * 0.03

    def train(self, config: SingleNeuronSettings, folder: RunFolder) -> None:
        """Train and measure the neuron; write training.csv, information.csv, neurons.csv and checkpoints."""
        train_neurons(config, TASK, [(config.weight, config.bias)], folder)

    def measure(self, config: SingleNeuronSettings, folder: RunFolder) -> None:
        """Measure the information of neurons with bias -2 weight; write curves.csv and summarize the tables."""
        folder.summary.update(summarize(config, folder.path))
        cells = list(itertools.product(config.weights, config.sigmas))
        measure = functools.partial(_measure_neuron, config)
        points = fill_table(folder.path / "curves.csv", Point, cells, measure, key=tuple)
        folder.summary |= {
            "curves_largest_error": max(abs(point.value - point.truth) for point in points),
            "curves_largest_half_width": max(point.upper - point.lower for point in points) / 2,
            "curves_intervals": len(points),
            "curves_intervals_that_contain_the_truth": sum(p.lower <= p.truth <= p.upper for p in points),
        }

    def plot(self, config: SingleNeuronSettings, path: Path) -> None:
        """Save single-neuron.png, which shows the training, and curves.png from the tables in a folder."""
        # I(X;T) if all four values are separate, if two of them coincide, and if three of them coincide.
        marks = {math.log(4): "log 4", 1.5 * math.log(2): "3/2 log 2", _ENTROPY_OF_QUARTER: "$H_b(1/4)$"}
        save_figure(TrainingFigure(config, TASK, path, marks).plot(), path / f"{self.name}.png")
        save_figure(_curves_figure(config, path), path / "curves.png")


def _measure_neuron(config: SingleNeuronSettings, cell: tuple[float, float]) -> Point:
    weight, sigma = cell
    parameters = [(weight, -2 * weight)]
    network = TASK.network(parameters, sigma).to(config.device)
    table = layer_information(network, TASK.data()[0].to(config.device), tolerance=config.tolerance, seed=config.seed)
    row = table["neuron1", "I(X;T)"]
    truth = TASK.information(parameters, sigma)
    tabulated = dict(zip(TABULATED_SIGMAS, TABULATED.get(weight, ()), strict=False)).get(sigma, math.nan)
    return Point(weight, sigma, row.value, row.standard_error, row.lower, row.upper, truth, tabulated)


def _curves_figure(config: SingleNeuronSettings, path: Path) -> Figure:
    """Plot the measured intervals of curves.csv as bands, and the values of the quadrature."""
    points = read_table(path / "curves.csv", Point)
    figure = plots.new_figure(width=8, height=5)
    axes = figure.add_subplot()
    for sigma, color in zip(config.sigmas, plots.sequence_colors(len(config.sigmas)), strict=True):
        curve = sorted(point for point in points if point.sigma == sigma)
        columns = {name: [getattr(point, name) for point in curve] for name in Point._fields}
        weights = columns["weight"]
        curves = [columns[name] for name in ("lower", "value", "upper")]
        plots.band(axes, weights, curves, plots.CurveStyle(color=color, label=f"{sigma:g}"))
        axes.plot(weights, columns["truth"], "k.", markersize=2)
    axes.plot([], [], "k.", markersize=2, label="by quadrature")
    plots.curve_panel(axes, xlabel="weight", ylabel="I(X;T) in nats, 95 % interval")
    plots.reference_line(axes, math.log(4), "log 4")
    plots.reference_line(axes, _ENTROPY_OF_QUARTER, "$H_b(1/4)$")
    axes.set_xlim(0.95 * min(config.weights), 2 * max(config.weights))  # the right part has space for the labels
    plots.legend_outside(axes, title="sigma")
    return figure


SINGLE_NEURON = SingleNeuron(
    name="single-neuron",
    description=(
        "Information in one noisy tanh neuron: over its training, and as its weight grows, around the true value by "
        "quadrature."
    ),
    config_type=SingleNeuronSettings,
    # A larger learning rate gives the same curves in fewer epochs.
    quick={
        "learning_rate": 0.01,
        "epochs": 60_000,
        "evaluations": 100,
        "measurements": 30,
        "tolerance": 0.02,
        "shown_epochs": (1, 6, 50, 500, 5000, 60_000),
    },
)
