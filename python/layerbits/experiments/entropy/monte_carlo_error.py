"""Mean square error of the Monte Carlo integration of the plug-in against the number of draws, beside its bounds.

The mixture has a center at every corner of the cube, so that its information is known. Some minutes in full. Writes
errors.csv (estimator, sigma, dim, draws, mean_square_error, standard_error, bound, paper_bound; in nats^2) and
monte-carlo-error.png.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from layerbits import plots, theory
from layerbits.experiments.entropy import cube
from layerbits.experiments.framework.configuration import require, require_distinct, require_positive, require_within
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table
from layerbits.kernels import standard_normal, stream
from layerbits.mixtures import mixture_information, mixture_log_density, noise_entropy

_CALL_SECONDS, _PAIR_SECONDS = 1.3e-3, 1e-9  # of one thread of Zen 5

_Floats = npt.NDArray[np.float64]
_Estimator = Callable[[_Floats, float, int, np.random.Generator], float]


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings."""

    seed: int = 0
    sigmas: tuple[float, ...] = (0.2, 0.5, 2.0)
    dims: tuple[int, ...] = (2, 5, 8)
    draws: tuple[int, ...] = (512, 2048, 8192, 32_768)  # in all: n n_MC
    repeats: int = 400

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        require(self, "seed", self.seed >= 0, "at least 0")
        require_positive(self, "dims")
        require_distinct(self, "sigmas", "dims", "draws")
        require_within(self, sigmas=(0.01, 100), draws=(64, 2**22), repeats=(2, 10**6))
        require(self, "dims", max(self.dims) <= 12, "at most 12, for the cube has 2^d corners")
        even = all(draws % 2 ** (max(self.dims) + 1) == 0 for draws in self.draws)
        require(self, "draws", even, "multiples of 2^(d + 1) for the largest d")


QUICK: Mapping[str, Any] = {"dims": (2, 4, 6), "repeats": 60}


class Point(NamedTuple):
    """A row of errors.csv; `bound` is the sharp one for the estimator, `paper_bound` that of the paper."""

    estimator: str
    sigma: float
    dim: int
    draws: int
    mean_square_error: float
    standard_error: float
    bound: float
    paper_bound: float


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    curves = config.repeats * len(ESTIMATORS) * len(config.sigmas)
    sizes = itertools.product(config.dims, config.draws)
    return curves * sum(_CALL_SECONDS + draws * 2.0**dim * _PAIR_SECONDS for dim, draws in sizes)


def run(config: Config, folder: RunFolder) -> None:
    """Measure and draw."""
    with folder.phase("information"):
        measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def paper(centers: _Floats, sigma: float, draws: int, random: np.random.Generator) -> float:
    """Estimate the information as the paper does: the mean of -log g(T), minus h(Z)."""
    points = _sample(centers, sigma, draws, random)
    return -float(mixture_log_density(points, centers, sigma).mean()) - noise_entropy(centers.shape[1], sigma)


def control_variate(centers: _Floats, sigma: float, draws: int, random: np.random.Generator) -> float:
    """Estimate it as the mean of log N(T; S, sigma^2 I) - log g(T) over the same points."""
    points = _sample(centers, sigma, draws, random)
    noise = points - np.repeat(centers, draws // len(centers), axis=0)
    dim: int = centers.shape[1]
    excess = (float(np.mean((noise / sigma) ** 2)) - 1) * dim / 2
    return -float(mixture_log_density(points, centers, sigma).mean()) - noise_entropy(dim, sigma) - excess


def layerbits(centers: _Floats, sigma: float, draws: int, random: np.random.Generator) -> float:
    """Estimate it by `mixture_information`, which takes mirrored pairs of draws besides."""
    seed = int(random.integers(2**31))
    estimate = mixture_information(centers, sigma, tolerance=1e-12, seed=seed, max_draws=draws)
    return estimate.value


ESTIMATORS: Mapping[str, _Estimator] = {"paper": paper, "control variate": control_variate, "layerbits": layerbits}


def measure(config: Config, folder: RunFolder) -> None:
    """Measure the mean square errors; leaves errors.csv."""
    cells = list(itertools.product(ESTIMATORS, config.sigmas, config.dims, config.draws))
    points = fill_table(
        folder.path / "errors.csv",
        Point,
        list(enumerate(cells)),
        lambda cell: _point(config, *cell[1], key=cell[0]),
        name="integrations",
        single_thread=True,
    )
    folder.summary["largest_part_of_the_bound"] = max(point.mean_square_error / point.bound for point in points)
    folder.summary["largest_part_of_the_paper_bound"] = max(p.mean_square_error / p.paper_bound for p in points)


def draw(config: Config, path: Path) -> None:
    """Draw monte-carlo-error.png from errors.csv: a panel for each sigma."""
    points = read_table(path / "errors.csv", Point)
    figure = plots.new_figure(width=4 * len(config.sigmas) + 2, height=4.5)
    grid = figure.add_gridspec(1, len(config.sigmas))
    colors = plots.sequence_colors(len(config.dims))
    markers = dict(zip(ESTIMATORS, "o^s", strict=True))
    for column, sigma in enumerate(config.sigmas):
        axes = figure.add_subplot(grid[0, column])
        for (dim, color), (name, marker) in itertools.product(zip(config.dims, colors, strict=True), markers.items()):
            curve = [p for p in points if (p.estimator, p.sigma, p.dim) == (name, sigma, dim)]
            draws = [p.draws for p in curve]
            value, error = ([getattr(p, field) for p in curve] for field in ("mean_square_error", "standard_error"))
            axes.errorbar(
                draws, value, [2 * each for each in error], fmt=marker, color=color, label=f"{name}, d = {dim}"
            )
            if name != "layerbits":
                axes.plot(draws, [p.bound for p in curve], "--" if name == "paper" else ":", color=color)
            if name == "paper":
                axes.plot(draws, [p.paper_bound for p in curve], "-.", color=color, linewidth=1)
        plots.curve_panel(axes, xlabel="draws, n n_MC", ylabel="" if column else "mean square error in nats$^2$")
        axes.set_yscale("log")
        axes.set_title(f"sigma = {sigma:g}", fontsize="medium")
    for label, style in {"bound of the paper": "-.", "sharp bound": "--", "with control variate": ":"}.items():
        axes.plot([], [], style, color="black", label=label)
    plots.legend_outside(axes, title="± 2 standard errors")
    save_figure(figure, path / "monte-carlo-error.png")


def _sample(centers: _Floats, sigma: float, draws: int, random: np.random.Generator) -> _Floats:
    where: _Floats = np.repeat(centers, draws // len(centers), axis=0)
    return where + sigma * standard_normal(where.shape, random, torch.float64).numpy()


def _point(config: Config, estimator: str, sigma: float, dim: int, draws: int, *, key: int) -> Point:
    centers, truth = cube.corners(dim), cube.information(dim, 0.5, sigma)
    estimates = [
        ESTIMATORS[estimator](centers, sigma, draws, stream(config.seed, key, repeat))
        for repeat in range(config.repeats)
    ]
    squares = (np.array(estimates) - truth) ** 2
    n, per_center = len(centers), draws // len(centers)
    if estimator == "paper":
        bound = theory.sharp_mse_bound(n, per_center, dim=dim)
    else:
        bound = theory.information_mse_bound(n, per_center, dim=dim, sigma=sigma)
    return Point(
        estimator, sigma, dim, draws, float(squares.mean()), float(squares.std(ddof=1)) / math.sqrt(config.repeats),
        bound, theory.monte_carlo_mse_bound(n, per_center, dim=dim, sigma=sigma),
    )  # fmt: skip
