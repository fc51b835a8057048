"""Information in one noisy tanh neuron as its weight grows, as intervals around the truth by quadrature.

Writes curves.csv (weight, sigma, value, standard_error, lower, upper, truth, published) and single-neuron.png.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import integrate
from torch import nn
from torch.nn.utils import skip_init

from layerbits import plots
from layerbits.experiments.configuration import require, require_positive
from layerbits.experiments.run_folder import RunFolder, save_figure
from layerbits.experiments.tables import fill_table, read_table
from layerbits.information import layer_information
from layerbits.noise import NoisyModule, noisify

_INPUTS = (-3.0, -1.0, 1.0, 3.0)
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


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings; among the default weights and noise levels are those with known values."""

    seed: int = 0
    weights: tuple[float, ...] = tuple(sorted((*_PUBLISHED, *_BETWEEN)))
    sigmas: tuple[float, ...] = _SIGMAS
    tolerance: float = 0.005

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        require(self, "seed", self.seed >= 0, "at least 0")
        require_positive(self, "weights", "sigmas", "tolerance")


QUICK: Mapping[str, Any] = {"tolerance": 0.02}


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
    return len(config.weights) * len(config.sigmas) * 0.1


def run(config: Config, folder: RunFolder) -> None:
    """Measure and draw."""
    with folder.phase("information"):
        measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def sample(weight: float, sigma: float) -> NoisyModule:
    """Make the neuron T = tanh(w x - 2 w) + Z."""
    linear: nn.Linear = skip_init(nn.Linear, 1, 1)  # type: ignore[no-untyped-call]
    nn.init.constant_(linear.weight, weight)
    nn.init.constant_(linear.bias, -2 * weight)
    return noisify(nn.Sequential(linear, nn.Tanh()), sigma=sigma, layers="1")


def measure(config: Config, folder: RunFolder) -> None:
    """Measure the information of each neuron; leaves curves.csv."""
    neurons = [(weight, sigma) for weight in config.weights for sigma in config.sigmas]
    path = folder.path / "curves.csv"
    points = fill_table(path, Point, neurons, lambda neuron: _measure_one(config, *neuron), name="information")
    folder.summary["largest_error"] = max(abs(point.value - point.truth) for point in points)
    folder.summary["largest_half_width"] = max(point.upper - point.lower for point in points) / 2
    folder.summary["intervals"] = len(points)
    folder.summary["intervals_that_hold_the_truth"] = sum(point.lower <= point.truth <= point.upper for point in points)


def draw(config: Config, path: Path) -> None:
    """Draw single-neuron.png from curves.csv: what was measured, as bands, and the curves of quadrature."""
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
    plots.reference_line(axes, math.log(4) - 0.75 * math.log(3), "one input against three")
    plots.legend_outside(axes, title="sigma")
    save_figure(figure, path / "single-neuron.png")


def information_by_quadrature(weight: float, sigma: float) -> float:
    """I(X;T) in nats by adaptive quadrature: log 4 - E log sum_j p(T|x_j) / p(T|X), over each input in turn."""
    centers = np.tanh(weight * (np.array(_INPUTS) - 2)) / sigma
    return math.log(len(centers)) - float(np.mean([_confusion(centers - center) for center in centers]))


def _confusion(offsets: npt.NDArray[np.float64]) -> float:
    def integrand(z: float) -> float:
        log_ratios = offsets * (z - offsets / 2)
        return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * float(np.logaddexp.reduce(log_ratios))

    # Beyond 12 standard deviations the density is below 1e-31.
    value, _ = integrate.quad(integrand, -12, 12, limit=500, epsabs=1e-9)
    return float(value)


def _measure_one(config: Config, weight: float, sigma: float) -> Point:
    inputs = torch.tensor(_INPUTS, dtype=torch.float64)[:, None]
    table = layer_information(sample(weight, sigma).double(), inputs, tolerance=config.tolerance, seed=config.seed)
    row = table["1", "I(X;T)"]
    known = dict(zip(_SIGMAS, _PUBLISHED.get(weight, ()), strict=False))
    truth = information_by_quadrature(weight, sigma)
    return Point(weight, sigma, row.value, row.standard_error, row.lower, row.upper, truth, known.get(sigma, math.nan))
