"""Error of the plug-in entropy against the number of samples and the dimension, beside its bounds.

Signals are corners of the cube, so that the truth is known. Some minutes in full. Writes risk.csv (sigma, probability,
dim, samples, mean_error, risk, standard_error), bounds.csv (sigma, dim, samples, bound, value, vacuous), slopes.csv
(sigma, probability, dim, slope, standard_error), needed.csv (sigma, dim, source, log_samples), sample-complexity.png.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from layerbits import plots, theory
from layerbits.experiments.entropy import cube
from layerbits.experiments.entropy.risk_bounds import Bound, risk_bounds
from layerbits.experiments.framework.configuration import require, require_distinct, require_positive, require_within
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table, write_table
from layerbits.kernels import standard_normal, stream
from layerbits.mixtures import mixture_log_density

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Floats = npt.NDArray[np.float64]

# A fitted slope begins at so many times 4^d samples: before, the bias, which falls like 2^d / 2n, is still seen beside
# the fluctuation, which falls like the root of n.
_ASYMPTOTIC = 16
_CALL_SECONDS, _PAIR_SECONDS = 9e-4, 1e-9  # of one thread of Zen 5
_MEASURED = "measured at {:g}"
_BOUNDS = {"finite support": "--", "covering": ":", "paper": "-."}  # and how they are drawn


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings. At sigma = 0.15 the noise confuses no corners, at 0.5 it does."""

    seed: int = 0
    sigmas: tuple[float, ...] = (0.5, 0.15)
    probabilities: tuple[float, ...] = (0.75, 0.5)  # that a bit is +1
    dims: tuple[int, ...] = (1, 2, 4, 6, 8, 10)
    samples: tuple[int, ...] = tuple(2**power for power in range(2, 23))
    repeats: int = 64
    draws: int = 8192  # points at which a plug-in density is compared with the true one
    error: float = 0.1  # nats; how many samples give so small a risk

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        require(self, "seed", self.seed >= 0, "at least 0")
        require_positive(self, *(field.name for field in dataclasses.fields(self) if field.name != "seed"))
        require_distinct(self, "sigmas", "probabilities", "dims")
        require_within(
            self, sigmas=(0.01, 100), probabilities=(1e-6, 1 - 1e-6), repeats=(8, 10**6), draws=(2, 2**20),
            error=(1e-30, 1e30),
        )  # fmt: skip
        require(self, "dims", max(self.dims) <= 16, "at most 16, for the cube has 2^d corners")
        ascending = all(fewer < more for fewer, more in itertools.pairwise(self.samples))
        require(self, "samples", ascending and self.samples[0] >= 2, "numbers from 2 on, each above the one before")


QUICK: Mapping[str, Any] = {
    "dims": (1, 2, 4, 6, 8),
    "samples": tuple(4**power for power in range(1, 11)),
    "repeats": 32,
    "draws": 2048,
}


class Risk(NamedTuple):
    """A row of risk.csv: mean and mean absolute value of plug-in minus truth, in nats; the error of the latter."""

    sigma: float
    probability: float
    dim: int
    samples: int
    mean_error: float
    risk: float
    standard_error: float


class Slope(NamedTuple):
    """A row of slopes.csv: the exponent of n in the risk, where the bias no longer counts."""

    sigma: float
    probability: float
    dim: int
    slope: float
    standard_error: float


class Needed(NamedTuple):
    """A row of needed.csv: samples for the wanted risk, NaN where all or none of those measured are enough.

    `source` is a bound, "least" for the one from below, or "measured at" a probability.
    """

    sigma: float
    dim: int
    source: str
    log_samples: float


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    curves = config.repeats * len(config.sigmas) * len(config.probabilities) * len(config.samples)
    return curves * sum(_CALL_SECONDS + config.draws * 2.0**dim * _PAIR_SECONDS for dim in config.dims)


def run(config: Config, folder: RunFolder) -> None:
    """Measure and draw."""
    with folder.phase("information"):
        measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def sample(dim: int, probability: float, samples: int, random: np.random.Generator) -> _Floats:
    """Draw a sample; return how often it has each corner of the cube, shape (2^d,)."""
    return random.multinomial(samples, cube.law(dim, probability)).astype(np.float64)


def measure(config: Config, folder: RunFolder) -> None:
    """Measure the risks, fit their slopes, and take the bounds; leaves all tables."""
    cells = list(itertools.product(config.sigmas, config.probabilities, config.dims, config.samples))
    write_table(
        folder.path / "bounds.csv", Bound, risk_bounds(config.sigmas, config.dims, config.samples, corners=True)
    )
    risks = fill_table(
        folder.path / "risk.csv",
        Risk,
        list(enumerate(cells)),
        lambda cell: _risk(config, *cell[1], key=cell[0]),
        name="plug-ins",
        single_thread=True,
    )
    slopes = list(_slopes(risks))
    write_table(folder.path / "slopes.csv", Slope, slopes)
    needed = list(_needed(config, risks))
    write_table(folder.path / "needed.csv", Needed, needed)
    folder.summary.update(_summary(config, slopes, needed))


def draw(config: Config, path: Path) -> None:
    """Draw sample-complexity.png from the tables."""
    risks = read_table(path / "risk.csv", Risk)
    bounds = read_table(path / "bounds.csv", Bound)
    needed = read_table(path / "needed.csv", Needed)
    rows, columns = len(config.probabilities) + 1, len(config.sigmas)
    figure = plots.new_figure(width=5.5 * columns + 1, height=3.2 * rows)
    grid = figure.add_gridspec(rows, columns)
    for column, sigma in enumerate(config.sigmas):
        here = [bound for bound in bounds if bound.sigma == sigma]
        for row, probability in enumerate(config.probabilities):
            axes = figure.add_subplot(grid[row, column])
            _draw_risks(axes, [risk for risk in risks if (risk.sigma, risk.probability) == (sigma, probability)], here)
            axes.set_title(f"sigma = {sigma:g}, bits +1 with probability {probability:g}", fontsize="medium")
            plots.legend_outside(axes, title="± 2 standard errors,\nbounds dashed as below")
        axes = figure.add_subplot(grid[-1, column])
        _draw_needed(axes, [each for each in needed if each.sigma == sigma], config.error)
        plots.legend_outside(axes)
    save_figure(figure, path / "sample-complexity.png")


def plugin_error(counts: _Floats, probability: float, sigma: float, draws: int, random: np.random.Generator) -> float:
    """Return the plug-in entropy of a sample minus the true one, in nats.

    With p the density of T and p^ its plug-in it is E_p^[-log p] - E_p[-log p] - D(p^ || p). The first two are known by
    quadrature. The divergence is the integral of p (r log r - r + 1), r = p^ / p; by points of the mixture (p + p^) / 2
    no term is negative or large, and all are small where the densities are close.
    """
    dim = counts.size.bit_length() - 1
    where, shares = cube.corners(dim), counts / counts.sum()
    weights = cube.law(dim, probability)
    both = np.concatenate([_systematic(weights, draws // 2, random), _systematic(shares, draws - draws // 2, random)])
    points = where[both] + sigma * standard_normal((draws, dim), random, torch.float64).numpy()
    seen = counts > 0
    log_ratio = mixture_log_density(points, where[seen], sigma, weights=counts[seen])
    log_ratio -= cube.log_density(points, probability, sigma)
    excess = np.expm1(log_ratio)
    divergence = np.mean(2 * ((1 + excess) * log_ratio - excess) / (2 + excess))
    return float((shares - weights) @ cube.surprise(dim, probability, sigma) - divergence)


def _systematic(weights: _Floats, size: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw `size` indices, each within 1 of its expected number."""
    place = (np.arange(size) + random.random(size)) / size * weights.sum()
    index: npt.NDArray[np.int64] = np.searchsorted(np.cumsum(weights), place, side="right")
    return np.minimum(index, weights.size - 1)


def _risk(config: Config, sigma: float, probability: float, dim: int, samples: int, *, key: int) -> Risk:
    errors = []
    for repeat in range(config.repeats):
        random = stream(config.seed, key, repeat)
        counts = sample(dim, probability, samples, random)
        errors.append(plugin_error(counts, probability, sigma, config.draws, random))
    sizes = np.abs(errors)
    standard_error = float(sizes.std(ddof=1)) / math.sqrt(config.repeats)
    return Risk(sigma, probability, dim, samples, float(np.mean(errors)), float(sizes.mean()), standard_error)


def _slopes(risks: Iterable[Risk]) -> Iterator[Slope]:
    curves: dict[tuple[float, float, int], list[Risk]] = {}
    for risk in risks:
        if risk.samples >= _ASYMPTOTIC * 4**risk.dim:
            curves.setdefault((risk.sigma, risk.probability, risk.dim), []).append(risk)
    for curve, points in curves.items():
        if len(points) >= 3:
            x = np.log([risk.samples for risk in points])
            y = np.log([risk.risk for risk in points])
            relative = np.array([risk.standard_error / risk.risk for risk in points])
            lever = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
            yield Slope(*curve, float(lever @ y), float(np.linalg.norm(lever * relative)))


def _needed(config: Config, risks: Sequence[Risk]) -> Iterator[Needed]:
    for sigma, dim in itertools.product(config.sigmas, config.dims):
        cube_needs = theory.samples_needed(config.error, dim=dim, sigma=sigma)
        corners_need = theory.samples_needed(config.error, dim=dim, sigma=sigma, atoms=2**dim)
        for source, log_samples in {
            **{_MEASURED.format(p): _crossing(risks, (sigma, p, dim), config.error) for p in config.probabilities},
            "least": cube_needs.log_necessary,
            "finite support": corners_need.log_samples,
            "covering": cube_needs.log_samples,
            "paper": _paper_needs(config.error, dim, sigma),
        }.items():
            yield Needed(sigma, dim, source, log_samples)


def _crossing(risks: Iterable[Risk], curve: tuple[float, float, int], error: float) -> float:
    """Return log n where the risk falls to `error`, between the measured n on logarithmic axes."""
    points = [risk for risk in risks if (risk.sigma, risk.probability, risk.dim) == curve]
    for before, after in itertools.pairwise(points):
        if after.risk <= error < before.risk:
            part = math.log(before.risk / error) / math.log(before.risk / after.risk)
            return math.log(before.samples) + part * math.log(after.samples / before.samples)
    return math.nan


def _paper_needs(error: float, dim: int, sigma: float) -> float:
    """Return the logarithm of the first power of 2 for which the bound of the paper is below `error`."""
    powers = itertools.count(1)
    return math.log(2) * next(k for k in powers if theory.plugin_risk_bound(2**k, dim=dim, sigma=sigma) <= error)


def _summary(config: Config, slopes: Sequence[Slope], needed: Sequence[Needed]) -> dict[str, float]:
    """Mean exponent of n over the dimensions, and what each dimension multiplies the samples by."""
    summary: dict[str, float] = {}
    for sigma, probability in itertools.product(config.sigmas, config.probabilities):
        case = f"at_{probability:g}_sigma_{sigma:g}"
        fitted = [each.slope for each in slopes if (each.sigma, each.probability) == (sigma, probability)]
        if fitted:
            summary[f"slope_{case}"] = float(np.mean(fitted))
        source = _MEASURED.format(probability)
        found = [each for each in needed if (each.sigma, each.source) == (sigma, source) and each.log_samples > 0]
        if len(found) >= 2:
            slope, _ = np.polyfit([each.dim for each in found], [each.log_samples for each in found], 1)
            summary[f"growth_{case}"] = math.exp(slope)
    return summary


def _draw_risks(axes: Axes, risks: Sequence[Risk], bounds: Sequence[Bound]) -> None:
    dims = sorted({risk.dim for risk in risks})
    for dim, color in zip(dims, plots.sequence_colors(len(dims)), strict=True):
        curve = [(risk.samples, risk.risk, risk.standard_error) for risk in risks if risk.dim == dim]
        samples, value, error = np.array(curve).T
        plots.band(axes, samples, value - 2 * error, value, value + 2 * error, color=color, label=f"d = {dim}")
        for name, style in _BOUNDS.items():
            told = [b for b in bounds if (b.dim, b.bound, b.vacuous) == (dim, name, 0)]
            axes.plot([b.samples for b in told], [b.value for b in told], style, color=color, linewidth=1)
    plots.curve_panel(axes, xlabel="samples n", ylabel="E|plug-in - h(T)| in nats")
    axes.set_yscale("log")
    axes.set_ylim(bottom=min([risk.risk for risk in risks], default=0.01) / 2)
    silent = [
        f"{name} for d = {', '.join(map(str, vacuous))}"
        for name in _BOUNDS
        if (vacuous := [d for d in dims if all(b.vacuous for b in bounds if (b.dim, b.bound) == (d, name))])
    ]
    if silent:
        text = "\n".join(["vacuous at every n shown:", *silent])
        axes.text(0.01, 0.02, text, transform=axes.transAxes, fontsize="small")


def _draw_needed(axes: Axes, needed: Sequence[Needed], error: float) -> None:
    sources = list(dict.fromkeys(each.source for each in needed))
    for source, color in zip(sources, plots.sequence_colors(len(sources)), strict=True):
        points = [each for each in needed if each.source == source]
        style = _BOUNDS.get(source, "o" if source.startswith("measured") else "-")
        log_10 = [each.log_samples / math.log(10) for each in points]
        axes.plot([each.dim for each in points], log_10, style, color=color, label=source)
    plots.curve_panel(axes, xlabel="dimension d", ylabel=f"log10 of the samples for {error:g} nats")
    axes.set_xscale("linear")
    axes.set_ylim(bottom=0)
