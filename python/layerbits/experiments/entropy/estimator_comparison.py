"""Entropy of a noisy mixture by the plug-in, nearest neighbours, a kernel density and bins, against samples and truth.

A component sits at every corner of the cube [-1, 1]^d and is cut off there, so that the coordinates are independent and
the truth is an integral. Writes estimates.csv (estimator, sigma, dim, samples, repeat, value, standard_error, lower,
upper, truth; error and ends are of the integration of a plug-in, NaN for its rivals), bounds.csv (sigma, dim, samples,
bound, value, vacuous), slopes.csv (estimator, sigma, dim, first_samples, last_samples, slope, standard_error),
estimator-comparison.png, and estimator-comparison-errors.png.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import integrate
from scipy.stats import linregress, skewnorm

from layerbits import plots
from layerbits.experiments.entropy.entropy_estimators import (
    BINNING,
    COLORS,
    ESTIMATORS,
    KDE,
    NEIGHBOURS,
    PLUG_IN,
    Settings,
    draw_entropies,
    estimate,
    expected_draws,
)
from layerbits.experiments.entropy.risk_bounds import Bound, risk_bounds
from layerbits.experiments.framework.configuration import (
    require,
    require_distinct,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table, write_table
from layerbits.kernels import standard_normal, stream

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Floats = npt.NDArray[np.float64]

# A slope begins at so many times 2^d samples, where most corners have been met often.
_COVERED = 3
# Of an estimate, on two cores of Zen 5: of a draw and center, of a sample, of a pair, of a sample.
_CALL_SECONDS = 0.01
_DRAW_SECONDS, _NEIGHBOUR_SECONDS, _PAIR_SECONDS, _BIN_SECONDS = 3e-10, 1e-5, 4e-9, 6e-7
_DRAWS = 25_000  # of a plug-in at a tolerance of 0.01, about
_BOUNDS = {"covering": ":", "paper": "-."}  # and how they are drawn


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings. [T]: arXiv 1810.11589. [D]: made for this project, where that says nothing."""

    seed: int = 0
    sigmas: tuple[float, ...] = (0.05, 0.1, 0.2)  # [T]
    dims: tuple[int, ...] = (5, 10)  # [T]
    # [T], read as the deviation of a normal before it is cut off at the faces of the cube: that gives the truths of [T]
    # per dimension, -.855, -.183 and .505.
    spread: float = 0.02
    estimators: tuple[str, ...] = ESTIMATORS
    samples: tuple[int, ...] = (10, 32, 100, 316, 1000, 3162, 10_000, 31_623, 100_000)  # [T] to 10^7
    most_neighbours: int = 100_000  # samples for Kozachenko-Leonenko at the most
    most_kde: int = 10_000  # and for the kernel density, whose work grows with the square
    repeats: int = 5
    tolerance: float = 0.005  # half width in nats of the interval of a plug-in
    neighbours: int = 3  # [D]
    folds: int = 5  # [D]
    bin_size: float = 0.1  # [D]

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        others = ("seed", "estimators")
        require(self, "seed", self.seed >= 0, "at least 0")
        require_positive(self, *(field.name for field in dataclasses.fields(self) if field.name not in others))
        require_distinct(self, "sigmas", "dims", "estimators")
        require_tolerance(self)
        require_within(self, sigmas=(0.01, 10), samples=(1, 2**24), repeats=(2, 10_000), bin_size=(1e-15, 10**6))
        require(self, "dims", max(self.dims) <= 16, "at most 16")
        require(self, "spread", self.spread <= 0.3, "at most 0.3, so that components are inside of the cube")
        known = bool(self.estimators) and set(self.estimators) <= set(ESTIMATORS)
        require(self, "estimators", known, f"some of {', '.join(ESTIMATORS)}")
        ascending = all(fewer < more for fewer, more in itertools.pairwise(self.samples))
        require(self, "samples", ascending, "numbers each above the one before")
        require(self, "folds", self.folds >= 2, "at least 2")
        least = max(self.neighbours + 1, self.folds)
        require(self, "samples", self.samples[0] >= least, f"at least {least}, for so many neighbours and folds")


QUICK: Mapping[str, Any] = {
    "samples": (10, 32, 100, 316, 1000, 3162, 10_000, 31_623),
    "most_neighbours": 10_000,
    "most_kde": 3162,
    "repeats": 3,
    "tolerance": 0.01,
}


class Point(NamedTuple):
    """A row of estimates.csv; in nats."""

    estimator: str
    sigma: float
    dim: int
    samples: int
    repeat: int
    value: float
    standard_error: float
    lower: float
    upper: float
    truth: float


class Slope(NamedTuple):
    """A row of slopes.csv: the exponent of n in the mean error, fitted from `first_samples` to `last_samples`."""

    estimator: str
    sigma: float
    dim: int
    first_samples: int
    last_samples: int
    slope: float
    standard_error: float


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    draws = expected_draws(config.tolerance, at_hundredth=_DRAWS)
    of_one = {
        PLUG_IN: lambda n: _DRAW_SECONDS * draws * n,
        NEIGHBOURS: lambda n: _NEIGHBOUR_SECONDS * n,
        KDE: lambda n: _PAIR_SECONDS * n**2,
        BINNING: lambda n: _BIN_SECONDS * n,
    }
    return math.fsum(_CALL_SECONDS + of_one[estimator](samples) for estimator, _, _, samples, _ in _cells(config))


def run(config: Config, folder: RunFolder) -> None:
    """Measure and draw."""
    with folder.phase("estimates"):
        measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def sample(config: Config, dim: int, samples: int, repeat: int) -> tuple[_Floats, _Floats]:
    """Draw signals and standard normal noise, both (samples, dim); the same for every estimator and sigma."""
    random = stream(config.seed, dim, samples, repeat)
    depth = config.spread * np.abs(random.standard_normal((samples, dim)))
    corners = np.where(random.random((samples, dim)) < 0.5, 1.0, -1.0)
    return corners * (1 - depth), standard_normal((samples, dim), random, torch.float64).numpy()


@functools.cache
def coordinate_entropy(sigma: float, spread: float) -> float:
    """Return the entropy of a coordinate of T in nats, by quadrature.

    Around its corner it is normal noise less the modulus of a normal, which is skew-normal (Azzalini, 1985).
    """
    scale = math.hypot(spread, sigma)
    around = skewnorm(-spread / sigma, 0, scale)

    def integrand(t: float) -> float:
        density = float(around.pdf(t - 1) + around.pdf(-t - 1)) / 2
        return -density * math.log(density) if density > 0 else 0.0

    # Beyond 12 standard deviations the density is below 1e-31; it is symmetric.
    parts = [(0.0, 1.0), (1.0, 1 + 12 * scale)]
    return 2 * math.fsum(integrate.quad(integrand, *part, limit=500, epsabs=1e-10)[0] for part in parts)


def measure(config: Config, folder: RunFolder) -> None:
    """Estimate the entropies, fit slopes, and take the bounds; leaves all tables."""
    settings = Settings(config.tolerance, config.neighbours, config.folds, config.bin_size)

    def point(cell: tuple[str, float, int, int, int]) -> Point:
        estimator, sigma, dim, samples, repeat = cell
        signals, noise = sample(config, dim, samples, repeat)
        seed = int(stream(config.seed, dim, samples, repeat, 0).integers(2**31))
        found = estimate(estimator, signals, sigma * noise, sigma, settings, seed=seed)
        return Point(*cell, *found, truth=dim * coordinate_entropy(sigma, config.spread))

    write_table(folder.path / "bounds.csv", Bound, risk_bounds(config.sigmas, config.dims, config.samples))
    points = fill_table(folder.path / "estimates.csv", Point, _cells(config), point, name="estimates")
    slopes = list(_slopes(config, points))
    write_table(folder.path / "slopes.csv", Slope, slopes)
    folder.summary.update(_summary(config, points, slopes))


def draw(config: Config, path: Path) -> None:
    """Draw estimator-comparison.png and estimator-comparison-errors.png from the tables."""
    points = read_table(path / "estimates.csv", Point)
    bounds = read_table(path / "bounds.csv", Bound)
    slopes = read_table(path / "slopes.csv", Slope)

    def values(axes: Axes, sigma: float, dim: int) -> None:
        here = [point for point in points if (point.sigma, point.dim) == (sigma, dim)]
        truth = dim * coordinate_entropy(sigma, config.spread)
        draw_entropies(axes, here, truth=(truth, truth))

    def errors(axes: Axes, sigma: float, dim: int) -> None:
        told = [bound for bound in bounds if (bound.sigma, bound.dim) == (sigma, dim)]
        _draw_errors(axes, _risks(points, sigma, dim), told, [s for s in slopes if (s.sigma, s.dim) == (sigma, dim)])

    rows, columns = len(config.dims), len(config.sigmas)
    for name, panel in {"estimator-comparison": values, "estimator-comparison-errors": errors}.items():
        figure = plots.new_figure(width=3.3 * columns + 2.1, height=3 * rows)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for (row, dim), (column, sigma) in itertools.product(enumerate(config.dims), enumerate(config.sigmas)):
            axes = grid[row, column]
            panel(axes, sigma, dim)
            axes.set_title(f"d = {dim}, sigma = {sigma:g}", fontsize="medium")
            axes.set_xlabel("samples n" if row == rows - 1 else "")
            axes.set_ylabel("" if column else axes.get_ylabel())
        plots.legend_outside(grid[0, -1])
        save_figure(figure, path / f"{name}.png")


def _cells(config: Config) -> list[tuple[str, float, int, int, int]]:
    """Return what there is to estimate, small samples first."""
    most = {NEIGHBOURS: config.most_neighbours, KDE: config.most_kde}
    grid = itertools.product(config.samples, config.dims, config.sigmas, config.estimators, range(config.repeats))
    return [
        (estimator, sigma, dim, samples, repeat)
        for samples, dim, sigma, estimator, repeat in grid
        if samples <= most.get(estimator, samples)
    ]


class _Risk(NamedTuple):
    """Mean absolute error over the repeats, and what of it the integration of the plug-ins may be."""

    estimator: str
    samples: int
    error: float
    integration: float


def _risks(points: Sequence[Point], sigma: float, dim: int) -> list[_Risk]:
    cells: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        if (point.sigma, point.dim) == (sigma, dim):
            cells.setdefault((point.estimator, point.samples), []).append(point)
    risks = []
    for (estimator, samples), some in cells.items():
        error = float(np.mean([abs(point.value - point.truth) for point in some]))
        integration = 2 * math.hypot(*(point.standard_error for point in some)) / len(some)
        risks.append(_Risk(estimator, samples, error, integration))
    return risks


def _slopes(config: Config, points: Sequence[Point]) -> Iterator[Slope]:
    for sigma, dim in itertools.product(config.sigmas, config.dims):
        risks = [risk for risk in _risks(points, sigma, dim) if risk.samples >= _COVERED * 2**dim]
        for estimator in config.estimators:
            used = [risk for risk in risks if risk.estimator == estimator and risk.error > risk.integration]
            if len(used) >= 3:
                fit = linregress(*np.log([(risk.samples, risk.error) for risk in used]).T)
                ends = used[0].samples, used[-1].samples
                yield Slope(estimator, sigma, dim, *ends, float(fit.slope), float(fit.stderr))


def _summary(config: Config, points: Sequence[Point], slopes: Sequence[Slope]) -> dict[str, float]:
    """Mean errors over all sigma at the largest samples of an estimator, and mean slopes of the plug-in."""
    summary: dict[str, float] = {}
    for dim, estimator in itertools.product(config.dims, dict.fromkeys(point.estimator for point in points)):
        risks = [risk for sigma in config.sigmas for risk in _risks(points, sigma, dim) if risk.estimator == estimator]
        last = max(risk.samples for risk in risks)
        name = f"{estimator.lower()}_error_d_{dim}_n_{last}"
        summary[name] = float(np.mean([risk.error for risk in risks if risk.samples == last]))
    for dim in config.dims:
        fitted = [slope.slope for slope in slopes if (slope.estimator, slope.dim) == (PLUG_IN, dim)]
        if fitted:
            summary[f"plug-in_slope_d_{dim}"] = float(np.mean(fitted))
    return summary


def _draw_errors(axes: Axes, risks: Sequence[_Risk], bounds: Sequence[Bound], slopes: Sequence[Slope]) -> None:
    for estimator in dict.fromkeys(risk.estimator for risk in risks):
        curve = [(risk.samples, risk.error) for risk in risks if risk.estimator == estimator]
        axes.plot(*zip(*curve, strict=True), "o-", color=COLORS[estimator], markersize=3, label=estimator)
    for name, style in _BOUNDS.items():
        told = [bound for bound in bounds if bound.bound == name and not bound.vacuous]
        axes.plot(
            [b.samples for b in told], [b.value for b in told], style, marker=".", color="black", label=f"{name} bound"
        )
    plots.curve_panel(axes, ylabel="mean |estimate - h(T)| in nats")
    axes.set_yscale("log")
    notes = [f"plug-in: n to the {slope.slope:.2f}" for slope in slopes if slope.estimator == PLUG_IN]
    silent = [name for name in _BOUNDS if bounds and all(b.vacuous for b in bounds if b.bound == name)]
    notes += [f"{name} bound: vacuous for all n" for name in silent]
    axes.text(0.02, 0.02, "\n".join(notes), transform=axes.transAxes, fontsize="small")
