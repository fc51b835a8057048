"""The experiment monte-carlo-error: mean square errors of the Monte Carlo integration of a plug-in.

The mixture has a center at every corner of the cube, so that its information is known. A run writes errors.csv
(estimator, sigma, dim, draws, mean_square_error, standard_error, bound, paper_bound; in nats^2) and
monte-carlo-error.png.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from layerbits import plots, theory
from layerbits._base import Doubles
from layerbits.experiments.entropy import cube
from layerbits.experiments.framework.configuration import (
    Configuration,
    require,
    require_distinct,
    require_positive,
    require_within,
)
from layerbits.experiments.framework.experiment import START_SECONDS, Experiment
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table
from layerbits.kernels import RandomStream, standard_normal, stream
from layerbits.mixtures import mixture_information, mixture_log_density, noise_entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Seconds on one thread of Zen 4.
_CALL_SECONDS = 2.1e-3  # per estimate
_PAIR_SECONDS = 1.6e-9  # per query and center

_PAPER, _CONTROL_VARIATE, _LAYERBITS = "paper", "control variate", "layerbits"
_MARKERS = {_PAPER: "o", _CONTROL_VARIATE: "^", _LAYERBITS: "s"}
_BOUND_STYLES = {_PAPER: "--", _CONTROL_VARIATE: ":"}
_PAPER_BOUND_STYLE = "-."


@dataclasses.dataclass(frozen=True)
class Config(Configuration):
    """Settings.

    Parameters
    ----------
    sigmas
        Standard deviations of the noise.
    dims
        Dimensions of the mixtures.
    draws
        Numbers of queries over all centers, n n_MC.
    repeats
        Estimates of each mixture and number of queries.
    """

    sigmas: tuple[float, ...] = (0.2, 0.5, 2.0)
    dims: tuple[int, ...] = (2, 5, 8)
    draws: tuple[int, ...] = (512, 2048, 8192, 32_768)
    repeats: int = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "dims")
        require_distinct(self, "sigmas", "dims", "draws")
        require_within(self, sigmas=(0.01, 100), draws=(64, 2**22), repeats=(2, 10**6))
        require(self, "dims", max(self.dims) <= 12, "at most 12, because the cube has 2^d corners")
        divisible = all(draws % 2 ** (max(self.dims) + 1) == 0 for draws in self.draws)
        require(self, "draws", divisible, "multiples of 2^(d + 1) for the largest d")


class Error(NamedTuple):
    """A row of errors.csv; `bound` is the sharp bound for the estimator, `paper_bound` the bound of the paper."""

    estimator: str
    sigma: float
    dim: int
    draws: int
    mean_square_error: float
    standard_error: float
    bound: float
    paper_bound: float


class _Cell(NamedTuple):
    """A row of errors.csv to compute; `number` is part of the key of its random streams."""

    number: int
    estimator: str
    sigma: float
    dim: int
    draws: int


def paper_information(centers: Doubles, sigma: float, draws: int, random: np.random.Generator) -> float:
    """Estimate the information as the paper: mean of -log g(T) over points T of the mixture density g, minus h(Z)."""
    points = _sample(centers, sigma, draws, random)
    return -float(mixture_log_density(points, centers, sigma).mean()) - noise_entropy(centers.shape[1], sigma)


def control_variate_information(centers: Doubles, sigma: float, draws: int, random: np.random.Generator) -> float:
    """Estimate the information as the mean of log N(T; S, sigma^2 I) - log g(T) over points T of the mixture g."""
    points = _sample(centers, sigma, draws, random)
    noise = points - np.repeat(centers, draws // len(centers), axis=0)
    dim: int = centers.shape[1]
    excess = (float(np.mean((noise / sigma) ** 2)) - 1) * dim / 2
    return -float(mixture_log_density(points, centers, sigma).mean()) - noise_entropy(dim, sigma) - excess


def layerbits_information(centers: Doubles, sigma: float, draws: int, random: np.random.Generator) -> float:
    """Estimate the information by `mixture_information`, which also uses strata and mirrored pairs of queries."""
    seed = int(random.integers(2**31))
    return mixture_information(centers, sigma, tolerance=1e-12, seed=seed, max_draws=draws).value


ESTIMATORS: Mapping[str, Callable[[Doubles, float, int, np.random.Generator], float]] = {
    _PAPER: paper_information,
    _CONTROL_VARIATE: control_variate_information,
    _LAYERBITS: layerbits_information,
}


class MonteCarloError(Experiment[Config]):
    """Measure the mean square error of the integration of a plug-in."""

    def expected_seconds(self, config: Config) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        curves = config.repeats * len(ESTIMATORS) * len(config.sigmas)
        sizes = itertools.product(config.dims, config.draws)
        return START_SECONDS + curves * sum(_CALL_SECONDS + draws * 2.0**dim * _PAIR_SECONDS for dim, draws in sizes)

    def measure(self, config: Config, folder: RunFolder) -> None:
        """Measure the mean square errors; write errors.csv."""
        grid = itertools.product(ESTIMATORS, config.sigmas, config.dims, config.draws)
        cells = [_Cell(number, *settings) for number, settings in enumerate(grid)]
        measure = functools.partial(_measure_error, config)
        errors = fill_table(
            folder.path / "errors.csv", Error, cells, measure, key=lambda cell: cell[1:], single_thread=True
        )
        folder.summary["largest_part_of_the_bound"] = max(row.mean_square_error / row.bound for row in errors)
        folder.summary["largest_part_of_the_paper_bound"] = max(
            row.mean_square_error / row.paper_bound for row in errors
        )

    def plot(self, config: Config, path: Path) -> None:
        """Plot errors.csv: a panel for each sigma."""
        errors = read_table(path / "errors.csv", Error)
        figure = plots.new_figure(width=4 * len(config.sigmas) + 2, height=4.5)
        panels = figure.subplots(1, len(config.sigmas), squeeze=False)[0]
        for axes, sigma in zip(panels, config.sigmas, strict=True):
            _plot_errors(axes, config, [row for row in errors if row.sigma == sigma])
            ylabel = "mean square error in nats$^2$" if axes is panels[0] else ""
            plots.curve_panel(axes, xlabel="draws, n n_MC", ylabel=ylabel)
            axes.set_yscale("log")
            axes.set_title(f"sigma = {sigma:g}", fontsize="medium")
        for label, style in {
            "bound of the paper": _PAPER_BOUND_STYLE,
            "sharp bound": _BOUND_STYLES[_PAPER],
            "with control variate": _BOUND_STYLES[_CONTROL_VARIATE],
        }.items():
            panels[-1].plot([], [], style, color="black", label=label)
        plots.legend_outside(panels[-1], title="± 2 standard errors")
        save_figure(figure, path / f"{self.name}.png")


def _sample(centers: Doubles, sigma: float, draws: int, random: np.random.Generator) -> Doubles:
    """Sample the same number of points around each center, shape (draws, d)."""
    signals: Doubles = np.repeat(centers, draws // len(centers), axis=0)
    return signals + sigma * standard_normal(signals.shape, random, torch.float64).numpy()


def _measure_error(config: Config, cell: _Cell) -> Error:
    number, estimator, sigma, dim, draws = cell
    centers = cube.corners(dim)
    estimates = [
        ESTIMATORS[estimator](centers, sigma, draws, stream(config.seed, RandomStream.INTEGRATION, number, repeat))
        for repeat in range(config.repeats)
    ]
    squares = (np.array(estimates) - cube.information(dim, 0.5, sigma)) ** 2
    n, draws_per_center = len(centers), draws // len(centers)
    if estimator == _PAPER:
        bound = theory.sharp_mse_bound(n, draws_per_center, dim=dim)
    else:
        bound = theory.information_mse_bound(n, draws_per_center, dim=dim, sigma=sigma)
    return Error(
        *cell[1:],
        mean_square_error=float(squares.mean()),
        standard_error=float(squares.std(ddof=1)) / math.sqrt(config.repeats),
        bound=bound,
        paper_bound=theory.monte_carlo_mse_bound(n, draws_per_center, dim=dim, sigma=sigma),
    )


def _plot_errors(axes: Axes, config: Config, errors: Sequence[Error]) -> None:
    colors = zip(config.dims, plots.sequence_colors(len(config.dims)), strict=True)
    for (dim, color), (estimator, marker) in itertools.product(colors, _MARKERS.items()):
        curve = [row for row in errors if (row.estimator, row.dim) == (estimator, dim)]
        draws = [row.draws for row in curve]
        values, margins = [row.mean_square_error for row in curve], [2 * row.standard_error for row in curve]
        axes.errorbar(draws, values, margins, fmt=marker, color=color, label=f"{estimator}, d = {dim}")
        if estimator in _BOUND_STYLES:
            axes.plot(draws, [row.bound for row in curve], _BOUND_STYLES[estimator], color=color)
        if estimator == _PAPER:
            axes.plot(draws, [row.paper_bound for row in curve], _PAPER_BOUND_STYLE, color=color, linewidth=1)


MONTE_CARLO_ERROR = MonteCarloError(
    name="monte-carlo-error",
    description="Mean square error of the Monte Carlo integration of the plug-in against the number of draws, beside "
    "its bounds.",
    config_type=Config,
    quick={"dims": (2, 4, 6), "repeats": 60},
)
