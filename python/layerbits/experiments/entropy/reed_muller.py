"""Information that Reed-Muller codewords carry through Gaussian noise: the plug-in of n random codewords against n.

Signals are codewords of RM(r, m) in {-1, 1}^(2^m), uniform over the code. Writes plug_ins.csv (order, variables,
sigma, samples, value, standard_error, lower, upper; the ends are an interval for the plug-in of the sample), truth.csv
(order, variables, sigma, source, value, lower, upper; of I(S; S + Z), without a source no more than bounds), and
reed-muller.png.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from layerbits import plots
from layerbits.data import reed_muller_dimension, reed_muller_matrix, reed_muller_signals
from layerbits.experiments.entropy import cube
from layerbits.experiments.entropy.entropy_estimators import expected_draws
from layerbits.experiments.framework.configuration import (
    require,
    require_distinct,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table
from layerbits.kernels import stream
from layerbits.mixtures import mixture_information

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Floats = npt.NDArray[np.float64]

_LARGEST_CODEBOOK = 16  # bits of a message: so few codewords can all be centers at once
# Of an estimate; of a draw, center and dimension; of a bit of a message, drawn and sorted; two cores of Zen 5.
_CALL_SECONDS, _TERM_SECONDS, _BIT_SECONDS = 0.02, 3e-11, 1.3e-7
_DRAWS = 180_000  # of an estimate at a tolerance of 0.01, about


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings. [T]: arXiv 1810.11589; it shows RM(4, 4), the other codes are as it pleased this project."""

    seed: int = 0
    orders: tuple[int, ...] = (1, 2, 4, 5)  # r of each code; [T] 4
    variables: tuple[int, ...] = (4, 4, 4, 5)  # m of each code; [T] 4
    sigmas: tuple[float, ...] = (0.2, 1.0, 2.0)
    samples: tuple[int, ...] = tuple(4**power for power in range(1, 10))
    tolerance: float = 0.03  # half width in nats of an interval

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        require(self, "seed", self.seed >= 0, "at least 0")
        require_positive(self, "variables")
        require_tolerance(self)
        require(self, "variables", max(self.variables) <= 10, "at most 10, for codewords have 2^m letters")
        paired = len(self.orders) == len(self.variables)
        require(self, "orders", paired, f"one for each of the {len(self.variables)} variables")
        in_range = all(0 <= r <= m for r, m in self.codes)
        require(self, "orders", in_range, f"numbers from 0 to those of variables, {self.variables}")
        require(self, "orders", len(set(self.codes)) == len(self.codes), "every code once")
        require_distinct(self, "sigmas")
        require_within(self, sigmas=(0.01, 100), samples=(1, 2**24))
        ascending = all(fewer < more for fewer, more in itertools.pairwise(self.samples))
        require(self, "samples", ascending, "numbers each above the one before")
        met = max(min(self.samples[-1], 2 ** reed_muller_dimension(r, m)) * 2**m for r, m in self.codes)
        require(self, "samples", met <= 2**28, "at most 2^28 letters in the codewords of a sample, for memory")

    @property
    def codes(self) -> tuple[tuple[int, int], ...]:
        """The pairs (r, m)."""
        return tuple(zip(self.orders, self.variables, strict=True))


QUICK: Mapping[str, Any] = {"samples": tuple(4**power for power in range(1, 8)), "tolerance": 0.05}


class Point(NamedTuple):
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
    """A row of truth.csv; in nats. `source` is "quadrature", "codebook", or empty where only the ends are known."""

    order: int
    variables: int
    sigma: float
    source: str
    value: float
    lower: float
    upper: float


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    draws = expected_draws(config.tolerance, at_hundredth=_DRAWS)
    sizes = itertools.product(config.codes, (*config.samples, 2**16))
    letters: int = sum(min(n, 2 ** reed_muller_dimension(r, m)) * 2**m for (r, m), n in sizes)
    bits = sum(config.samples) * sum(reed_muller_dimension(*code) for code in config.codes)
    calls = len(config.codes) * len(config.samples)
    return len(config.sigmas) * (draws * letters * _TERM_SECONDS + bits * _BIT_SECONDS + calls * _CALL_SECONDS)


def run(config: Config, folder: RunFolder) -> None:
    """Measure and draw."""
    with folder.phase("information"):
        measure(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def sample(config: Config, order: int, variables: int, samples: int) -> tuple[_Floats, _Floats]:
    """Draw codewords; return those that were met, shape (k, 2^m), and how often each was, shape (k,)."""
    random = stream(config.seed, order, variables)
    messages = random.integers(0, 2, (samples, reed_muller_dimension(order, variables)), dtype=np.uint8)
    met, counts = np.unique(messages, axis=0, return_counts=True)
    return reed_muller_signals(met, reed_muller_matrix(order, variables)), counts.astype(np.float64)


def measure(config: Config, folder: RunFolder) -> None:
    """Measure the plug-ins, and the truths by quadrature or of all codewords; leaves both tables."""

    def truth(cell: tuple[tuple[int, int], float]) -> Truth:
        return _truth(config, *cell[0], cell[1])

    def point(cell: tuple[int, tuple[int, int], float]) -> Point:
        samples, (order, variables), sigma = cell
        words, counts = sample(config, order, variables, samples)
        found = mixture_information(words, sigma, weights=counts, tolerance=config.tolerance, seed=config.seed)
        return Point(order, variables, sigma, samples, found.value, found.standard_error, found.lower, found.upper)

    truths = fill_table(
        folder.path / "truth.csv", Truth, list(itertools.product(config.codes, config.sigmas)), truth, name="truths"
    )
    cells = list(itertools.product(config.samples, config.codes, config.sigmas))
    points = fill_table(folder.path / "plug_ins.csv", Point, cells, point, name="plug-ins")
    for known in truths:
        last = [point for point in points if point[:3] == known[:3]][-1]
        if known.source:
            name = f"RM({known.order},{known.variables})_sigma_{known.sigma:g}_truth_less_plug-in_of_{last.samples}"
            folder.summary[name] = known.value - last.value


def draw(config: Config, path: Path) -> None:
    """Draw reed-muller.png from the tables, a panel for each code."""
    points = read_table(path / "plug_ins.csv", Point)
    truths = read_table(path / "truth.csv", Truth)
    columns = min(len(config.codes), 2)
    rows = math.ceil(len(config.codes) / columns)
    figure = plots.new_figure(width=4.6 * columns + 1.8, height=3.4 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(config.codes) :]:
        axes.set_visible(False)
    for axes, code in zip(grid, config.codes, strict=False):
        _draw_code(axes, config, [p for p in points if p[:2] == code], [t for t in truths if t[:2] == code])
        axes.set_title(
            f"RM{code}, 2^{reed_muller_dimension(*code)} codewords of {2 ** code[1]} letters", fontsize="medium"
        )
    if not all(truth.source for truth in truths):
        grid[columns - 1].plot([], [], color="black", linestyle="-.", linewidth=1, label="bound of the truth")
    plots.legend_outside(grid[columns - 1], title="plug-in, 95 % interval")
    save_figure(figure, path / "reed-muller.png")


def _truth(config: Config, order: int, variables: int, sigma: float) -> Truth:
    """Return what is known of I(S; S + Z): of independent letters, of a code whose words can be listed, or bounds."""
    letters, bits = 2**variables, reed_muller_dimension(order, variables)
    of_letters = letters * cube.information(1, 0.5, sigma)
    if order == variables:  # every word is a codeword
        return Truth(order, variables, sigma, "quadrature", of_letters, of_letters, of_letters)
    if bits > _LARGEST_CODEBOOK:
        return Truth(order, variables, sigma, "", math.nan, 0.0, min(of_letters, bits * math.log(2)))
    messages = (np.arange(2**bits)[:, None] >> np.arange(bits) & 1).astype(np.uint8)
    words = reed_muller_signals(messages, reed_muller_matrix(order, variables))
    found = mixture_information(words, sigma, tolerance=config.tolerance, seed=config.seed)
    return Truth(order, variables, sigma, "codebook", found.value, found.lower, found.upper)


def _draw_code(axes: Axes, config: Config, points: Sequence[Point], truths: Sequence[Truth]) -> None:
    for sigma, color in zip(config.sigmas, plots.sequence_colors(len(config.sigmas)), strict=True):
        curve = [point for point in points if point.sigma == sigma]
        ends = ([getattr(point, name) for point in curve] for name in ("lower", "value", "upper"))
        plots.band(axes, [point.samples for point in curve], *ends, color=color, label=f"sigma = {sigma:g}")
        for truth in (truth for truth in truths if truth.sigma == sigma):
            value, style = (truth.value, "--") if truth.source else (truth.upper, "-.")
            axes.axhline(value, color=color, linestyle=style, linewidth=1)
    axes.plot(config.samples, np.log(config.samples), color="black", linestyle=":", linewidth=1, label="log n")
    axes.plot([], [], color="black", linestyle="--", linewidth=1, label="truth")
    plots.curve_panel(axes, xlabel="samples n", ylabel="I(S; S + Z) in nats")
    axes.set_ylim(0, 1.15 * max([1.0, *(point.upper for point in points), *(truth.upper for truth in truths)]))
