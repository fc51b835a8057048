"""The experiment reed-muller: information that codewords carry through Gaussian noise.

Signals are codewords of the Reed-Muller code RM(r, m) in {-1, 1}^(2^m), uniform over the code. A run writes
plug_ins.csv (order, variables, sigma, samples, value, standard_error, lower, upper: the plug-in of a sample, with an
interval for its integration), truth.csv (order, variables, sigma, source, value, lower, upper: I(S; S + Z), or bounds
on it) and reed-muller.png.
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

from layerbits import plots
from layerbits._base import Doubles
from layerbits.data import reed_muller_dimension, reed_muller_matrix, reed_muller_signals
from layerbits.experiments.entropy import cube
from layerbits.experiments.entropy.checks import require_ascending
from layerbits.experiments.entropy.entropy_estimators import expected_queries
from layerbits.experiments.framework.configuration import (
    Configuration,
    require,
    require_distinct,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.experiments.framework.experiment import START_SECONDS, Experiment
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table
from layerbits.kernels import RandomStream, stream
from layerbits.mixtures import mixture_information

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGEST_CODEBOOK = 16  # bits of a message: 2^16 codewords can all be centers at once

# Seconds on two cores of Zen 4.
_CALL_SECONDS = 0.015  # per estimate
_TERM_SECONDS = 2.3e-11  # per query, center and dimension
_BIT_SECONDS = 1e-7  # per bit of a message, to sample and sort it
_QUERIES = 180_000  # typical number for an estimate at a tolerance of 0.01


@dataclasses.dataclass(frozen=True)
class Config(Configuration):
    """Settings; the codes other than RM(4, 4) were chosen for layerbits.

    Parameters
    ----------
    orders
        Order r of each code RM(r, m). Source: arXiv 1810.11589, for 4.
    variables
        Number m of variables of each code RM(r, m). Source: arXiv 1810.11589, for 4.
    sigmas
        Standard deviations of the noise.
    samples
        Numbers of samples of an entropy estimate.
    tolerance
        Half width of an interval, in nats.
    """

    orders: tuple[int, ...] = (1, 2, 4, 5)
    variables: tuple[int, ...] = (4, 4, 4, 5)
    sigmas: tuple[float, ...] = (0.2, 1.0, 2.0)
    samples: tuple[int, ...] = tuple(4**power for power in range(1, 10))
    tolerance: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "variables")
        require_tolerance(self)
        require(self, "variables", max(self.variables) <= 10, "at most 10, because codewords have 2^m letters")
        paired = len(self.orders) == len(self.variables)
        require(self, "orders", paired, f"one for each of the {len(self.variables)} variables")
        in_range = all(0 <= r <= m for r, m in self.codes)
        require(self, "orders", in_range, f"numbers from 0 to the numbers of variables, {self.variables}")
        require(self, "orders", len(set(self.codes)) == len(self.codes), "every code once")
        require_distinct(self, "sigmas")
        require_within(self, sigmas=(0.01, 100), samples=(1, 2**24))
        require_ascending(self, "samples")
        letters = max(min(self.samples[-1], 2 ** reed_muller_dimension(r, m)) * 2**m for r, m in self.codes)
        require(self, "samples", letters <= 2**28, "at most 2^28 letters in the codewords of a sample, for memory")

    @property
    def codes(self) -> tuple[tuple[int, int], ...]:
        """The pairs (r, m)."""
        return tuple(zip(self.orders, self.variables, strict=True))


class PlugIn(NamedTuple):
    """A row of plug_ins.csv; in nats."""

    order: int
    variables: int
    sigma: float
    samples: int
    value: float
    standard_error: float
    lower: float
    upper: float


class Truth(NamedTuple):
    """A row of truth.csv; in nats. `source` is "quadrature", "codebook", or empty if only bounds are known."""

    order: int
    variables: int
    sigma: float
    source: str
    value: float
    lower: float
    upper: float


class ReedMuller(Experiment[Config]):
    """Estimate the information that codewords carry through Gaussian noise by plug-ins of growing samples."""

    def expected_seconds(self, config: Config) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        queries = expected_queries(config.tolerance, at_hundredth=_QUERIES)
        sizes = itertools.product(config.codes, (*config.samples, 2**_LARGEST_CODEBOOK))
        letters: int = sum(min(n, 2 ** reed_muller_dimension(r, m)) * 2**m for (r, m), n in sizes)
        bits = sum(config.samples) * sum(reed_muller_dimension(*code) for code in config.codes)
        calls = len(config.codes) * len(config.samples)
        seconds = queries * letters * _TERM_SECONDS + bits * _BIT_SECONDS + calls * _CALL_SECONDS
        return START_SECONDS + len(config.sigmas) * seconds

    def measure(self, config: Config, folder: RunFolder) -> None:
        """Compute the true values and the plug-ins; write both tables."""
        cells = list(itertools.product(config.codes, config.sigmas))
        measure = functools.partial(_truth, config)
        truths = fill_table(folder.path / "truth.csv", Truth, cells, measure, key=lambda cell: (*cell[0], cell[1]))
        sample_cells = list(itertools.product(config.samples, config.codes, config.sigmas))
        plug_ins = fill_table(
            folder.path / "plug_ins.csv",
            PlugIn,
            sample_cells,
            functools.partial(_plug_in, config),
            key=lambda cell: (*cell[1], cell[2], cell[0]),
        )
        for truth in truths:
            if truth.source:
                plug_in = [row for row in plug_ins if row[:3] == truth[:3]][-1]
                code = f"RM({truth.order},{truth.variables})_sigma_{truth.sigma:g}"
                folder.summary[f"{code}_truth_less_plug-in_of_{plug_in.samples}"] = truth.value - plug_in.value

    def plot(self, config: Config, path: Path) -> None:
        """Plot the tables: a panel for each code."""
        plug_ins = read_table(path / "plug_ins.csv", PlugIn)
        truths = read_table(path / "truth.csv", Truth)
        columns = min(len(config.codes), 2)
        rows = math.ceil(len(config.codes) / columns)
        figure = plots.new_figure(width=4.6 * columns + 1.8, height=3.4 * rows)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(config.codes) :]:
            axes.set_visible(False)
        for axes, code in zip(panels, config.codes, strict=False):
            code_plug_ins = [row for row in plug_ins if row[:2] == code]
            _plot_code(axes, config, code_plug_ins, [row for row in truths if row[:2] == code])
            axes.set_title(
                f"RM{code}, 2^{reed_muller_dimension(*code)} codewords of {2 ** code[1]} letters", fontsize="medium"
            )
        legend_axes = panels[columns - 1]
        if not all(truth.source for truth in truths):
            legend_axes.plot([], [], color="black", linestyle="-.", linewidth=1, label="bound on the true value")
        plots.legend_outside(legend_axes, title="plug-in, 95 % interval")
        save_figure(figure, path / f"{self.name}.png")


def sample(config: Config, order: int, variables: int, samples: int) -> tuple[Doubles, Doubles]:
    """Sample codewords; return the distinct ones, shape (k, 2^m), and how often each occurs, shape (k,)."""
    random = stream(config.seed, RandomStream.CODEWORDS, order, variables)
    messages = random.integers(0, 2, (samples, reed_muller_dimension(order, variables)), dtype=np.uint8)
    distinct_messages, counts = np.unique(messages, axis=0, return_counts=True)
    return reed_muller_signals(distinct_messages, reed_muller_matrix(order, variables)), counts.astype(np.float64)


def _truth(config: Config, cell: tuple[tuple[int, int], float]) -> Truth:
    """Compute I(S; S + Z) for independent letters, estimate it from all codewords of a small code, or bound it."""
    (order, variables), sigma = cell
    letters, bits = 2**variables, reed_muller_dimension(order, variables)
    letter_information = letters * cube.information(1, 0.5, sigma)
    if order == variables:  # every word is a codeword
        return Truth(order, variables, sigma, "quadrature", *[letter_information] * 3)
    if bits > _LARGEST_CODEBOOK:
        return Truth(order, variables, sigma, "", math.nan, 0.0, min(letter_information, bits * math.log(2)))
    messages = (np.arange(2**bits)[:, None] >> np.arange(bits) & 1).astype(np.uint8)
    codewords = reed_muller_signals(messages, reed_muller_matrix(order, variables))
    estimate = mixture_information(codewords, sigma, tolerance=config.tolerance, seed=config.seed)
    return Truth(order, variables, sigma, "codebook", estimate.value, estimate.lower, estimate.upper)


def _plug_in(config: Config, cell: tuple[int, tuple[int, int], float]) -> PlugIn:
    samples, (order, variables), sigma = cell
    codewords, counts = sample(config, order, variables, samples)
    estimate = mixture_information(codewords, sigma, weights=counts, tolerance=config.tolerance, seed=config.seed)
    numbers = estimate.value, estimate.standard_error, estimate.lower, estimate.upper
    return PlugIn(order, variables, sigma, samples, *numbers)


def _plot_code(axes: Axes, config: Config, plug_ins: Sequence[PlugIn], truths: Sequence[Truth]) -> None:
    for sigma, color in zip(config.sigmas, plots.sequence_colors(len(config.sigmas)), strict=True):
        curve = [row for row in plug_ins if row.sigma == sigma]
        ends = ([getattr(row, name) for row in curve] for name in ("lower", "value", "upper"))
        band_style = plots.CurveStyle(color=color, label=f"sigma = {sigma:g}")
        plots.band(axes, [row.samples for row in curve], ends, band_style)
        for truth in truths:
            if truth.sigma == sigma:
                height, style = (truth.value, "--") if truth.source else (truth.upper, "-.")
                axes.axhline(height, color=color, linestyle=style, linewidth=1)
    axes.plot(config.samples, np.log(config.samples), color="black", linestyle=":", linewidth=1, label="log n")
    axes.plot([], [], color="black", linestyle="--", linewidth=1, label="true value")
    plots.curve_panel(axes, xlabel="samples n", ylabel="I(S; S + Z) in nats")
    axes.set_ylim(0, 1.15 * max([1.0, *(row.upper for row in plug_ins), *(row.upper for row in truths)]))


REED_MULLER = ReedMuller(
    name="reed-muller",
    description="Information that Reed-Muller codewords carry through Gaussian noise: the plug-in of n random "
    "codewords against n.",
    config_type=Config,
    quick={"samples": tuple(4**power for power in range(1, 8)), "tolerance": 0.05},
)
