"""Binned entropies of a tanh network on the SZT data, which are not its information (Figure 1 of the paper).

A deterministic network has another H(Bin(T)) at every bin size, while its I(X;T) = H(T) is log 4096, or infinite were X
continuous. In a noisy one H(Bin(T)) stands beside I(X;T), as a measure of clusters. Trained in float32, binned in
float64, so that no rounding stands in for bins. Minutes in full. Writes into deterministic/ and noisy/ training.csv and
binned.csv (columns: `Binned`), into noisy/ also information.csv and scatter.csv; tracking.csv (columns: `Tracking`),
szt-binning.png, szt-binning-noisy.png.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from torch import nn

from layerbits import plots
from layerbits.data import szt_dataset
from layerbits.experiments.framework.configuration import require, require_distinct, require_positive, require_within
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import fill_table, read_table, write_table
from layerbits.experiments.szt import study as szt
from layerbits.geometry import binned_entropy, quantile_edges, szt_edges
from layerbits.kernels import NormalStream
from layerbits.networks import NoisyModule, layer_activations, propagate
from layerbits.training import load_checkpoint, read_information

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Floats = npt.NDArray[np.float64]
_Curve = list[tuple[float, float]]

_DETERMINISTIC, _NOISY = "deterministic", "noisy"
_OF_T, _OF_S = "H(Bin(T))", "H(Bin(S))"
_NOISE_STREAM = 1  # with the number of the layer: neither one of the estimator's nor that of scatter.csv
_COLUMNS = 4
# Seconds of the entropies of an epoch in both networks, and of the figures, on Zen 5.
_BINNING_SECONDS = 0.14
_FIGURE_SECONDS = 3.0


@dataclasses.dataclass(frozen=True)
class Config(szt.NoisySettings):
    """Settings; sigma is that of the noisy network. [F]: the paper's Figure 1, by eye. [R]: recalled."""

    bin_sizes: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)  # [F]
    szt_bins: int = 30  # Shwartz-Ziv and Tishby's
    quantile_bins: int = 30  # unknown
    noisy_bin: float = 10.0  # [R] in sigmas

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        require_positive(self, "bin_sizes", "szt_bins", "quantile_bins", "noisy_bin")
        require(self, "bin_sizes", min(self.bin_sizes) >= 1e-15, "numbers from 1e-15 on, for float64")
        require_distinct(self, "bin_sizes")
        require_within(self, szt_bins=(1, 2**20), quantile_bins=(1, 2**20))
        in_range = 1e-15 <= self.noisy_bin * self.sigma <= 1e6
        require(self, "noisy_bin", in_range, "from 1e-15 / sigma to 1e6 / sigma, for float64")


# Larger steps go the same way in fewer epochs.
QUICK: Mapping[str, Any] = {
    "epochs": 1000,
    "learning_rate": 2e-3,
    "batch_size": 256,
    "evaluations": 50,
    "measurements": 16,
    "draws": 16,
}


class Binned(NamedTuple):
    """A row of binned.csv; in nats."""

    epoch: int
    layer: str
    quantity: str  # H(Bin(T)), or H(Bin(S)) of the signals before the layer's own noise
    estimator: str  # fixed, szt or quantile
    bin_size: float  # NaN for quantiles
    value: float
    ceiling: float  # H(T) or H(S) of the points as they are; in a deterministic network H(T) = I(X;T)
    distinct: int  # points


class Tracking(NamedTuple):
    """A row of tracking.csv: how I(X;T) and a binned entropy of the noisy network go together."""

    quantity: str
    layer: str  # or all
    from_epoch: int
    points: int
    rank_correlation: float  # Spearman's; NaN where one of the two is constant


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    binning = _BINNING_SECONDS * config.measurements
    return 2 * szt.training_seconds(config) + szt.measuring_seconds(config) + binning + _FIGURE_SECONDS


def network(config: Config, variant: str) -> nn.Module:
    """Make the untrained network, ``deterministic`` or ``noisy``; both have the same weights."""
    return szt.noisy_network(config, config.sigma) if variant == _NOISY else szt.network(config)


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    for variant in (_DETERMINISTIC, _NOISY):
        train(config, folder, variant)
        measure(config, folder, variant)
    compare(config, folder)
    with folder.phase("figures"):
        draw(config, folder.path)


def train(config: Config, folder: RunFolder, variant: str) -> None:
    """Train a network; leaves training.csv, checkpoints and, with noise, information.csv and scatter.csv."""
    model = network(config, variant)
    szt.train(config, model, folder, variant=variant)
    folder.summary[f"{variant}_test_accuracy"] = szt.final_accuracy(folder.path / variant)
    if isinstance(model, NoisyModule):
        with folder.phase("figures"):
            szt.save_scatter(config, model, folder, variant=variant)


def measure(config: Config, folder: RunFolder, variant: str) -> None:
    """Bin what the layers of a network emit at the measured epochs; leaves binned.csv."""
    path, model = folder.path / variant, network(config, variant).double().to(config.device)
    quantities = (_OF_T, _OF_S) if variant == _NOISY else (_OF_T,)
    kinds = [("fixed", config.noisy_bin * config.sigma)] if variant == _NOISY else list(_kinds(config).values())
    cells = list(itertools.product(config.measured_epochs, _layers(config), quantities, kinds))

    @functools.lru_cache(maxsize=1)
    def clouds(epoch: int) -> dict[tuple[str, str], tuple[_Floats, float, int]]:
        load_checkpoint(path, epoch, model)
        return {key: (points, *_entropy(points)) for key, points in _points(config, model)}

    def binned(cell: tuple[int, str, str, tuple[str, float]]) -> Binned:
        epoch, layer, quantity, (estimator, size) = cell
        points, ceiling, distinct = clouds(epoch)[layer, quantity]
        if estimator == "fixed":
            value = binned_entropy(points, size)
        elif estimator == "szt":
            value = binned_entropy(points, edges=szt_edges(config.szt_bins))
        else:
            value = binned_entropy(points, edges=quantile_edges(points, config.quantile_bins))
        return Binned(epoch, layer, quantity, estimator, size, value, ceiling, distinct)

    with folder.phase("binning"):
        fill_table(path / "binned.csv", Binned, cells, binned, name=f"{variant} binned", single_thread=True)


def compare(config: Config, folder: RunFolder) -> None:
    """Correlate the binned entropies of the noisy network with its I(X;T); leaves tracking.csv."""
    rows, last = read_table(folder.path / _DETERMINISTIC / "binned.csv", Binned), _layers(config)[-1]
    for size in config.bin_sizes:
        values = [value for _, value in _curve(rows, last, _OF_T, "fixed", size)]
        for name, value in {"first": values[0], "peak": max(values), "final": values[-1]}.items():
            folder.summary[f"last_layer_{name}_at_{size:g}"] = value
    folder.summary["least_true_information"] = min(row.ceiling for row in rows)
    tracking = list(_tracking(config, folder.path / _NOISY))
    write_table(folder.path / "tracking.csv", Tracking, tracking)
    for row in tracking:
        if row.quantity == _OF_T and row.layer in ("all", last):
            folder.summary[f"rank_correlation_of_{row.layer}_from_epoch_{row.from_epoch}"] = row.rank_correlation


def draw(config: Config, path: Path) -> None:
    """Draw szt-binning.png and szt-binning-noisy.png from the tables in a folder, as far as they go."""
    _draw_deterministic(config, path)
    if (path / _NOISY / "information.csv").exists():
        _draw_noisy(config, path)


def _layers(config: Config) -> list[str]:
    return [f"tanh{place}" for place in range(1, len(config.widths) + 1)]


def _kinds(config: Config) -> dict[str, tuple[str, float]]:
    """Return the estimators of the deterministic network and their bin sizes, by what they are called in a figure."""
    return {
        **{f"bins of {size:g}": ("fixed", size) for size in config.bin_sizes},
        f"{config.szt_bins} bins on [-1, 1]": ("szt", 2 / config.szt_bins),
        f"{config.quantile_bins} bins at quantiles": ("quantile", math.nan),
    }


def _points(config: Config, model: nn.Module) -> Iterator[tuple[tuple[str, str], _Floats]]:
    """Yield layer and quantity, and the points to be binned for it, shape (4096, d)."""
    inputs = szt_dataset().inputs.double().to(config.device)
    if not isinstance(model, NoisyModule):
        for layer, activations in layer_activations(model, inputs).items():
            yield (layer, _OF_T), activations.numpy(force=True)
        return
    for place, (layer, signals) in enumerate(propagate(model, inputs, draws=1, seed=config.seed).items()):
        signal = signals[:, 0]
        noise = NormalStream(config.seed, _NOISE_STREAM, place).like(signal)
        yield (layer, _OF_S), signal.numpy(force=True)
        yield (layer, _OF_T), model.noise[layer].add(signal, noise).numpy(force=True)


def _entropy(points: _Floats) -> tuple[float, int]:
    """Return the entropy in nats of points of equal weight, as they are, and how many are distinct."""
    counts = np.unique(points, axis=0, return_counts=True)[1]
    return float(stats.entropy(counts)), len(counts)


def _tracking(config: Config, path: Path) -> Iterator[Tracking]:
    pairs, epochs = _pairs(path), config.measured_epochs
    # Also from the middle of the axis on: before, weights grow, which spreads points over bins, but the noise as well.
    starts = dict.fromkeys((epochs[0], epochs[len(epochs) // 2]))
    for quantity, layer, start in itertools.product((_OF_T, _OF_S), ("all", *_layers(config)), starts):
        chosen = [
            pair
            for (of, at, epoch), pair in pairs.items()
            if of == quantity and layer in ("all", at) and epoch >= start
        ]
        constant = np.ptp(chosen, axis=0).min() == 0
        correlation = math.nan if constant else float(stats.spearmanr(np.array(chosen)).statistic)
        yield Tracking(quantity, layer, start, len(chosen), correlation)


def _pairs(path: Path) -> dict[tuple[str, str, int], tuple[float, float]]:
    """Return I(X;T) and the binned entropy of the noisy network, by quantity, layer and epoch."""
    tables = read_information(path / "information.csv")
    return {
        (row.quantity, row.layer, row.epoch): (tables[row.epoch][row.layer, "I(X;T)"].value, row.value)
        for row in read_table(path / "binned.csv", Binned)
    }


def _curve(rows: Iterable[Binned], layer: str, quantity: str, estimator: str, size: float) -> _Curve:
    return [
        (row.epoch, row.value)
        for row in rows
        # As texts, for NaN is not equal to itself.
        if (row.layer, row.quantity, row.estimator, str(row.bin_size)) == (layer, quantity, estimator, str(size))
    ]


def _draw_deterministic(config: Config, path: Path) -> None:
    """Draw a panel for each kind of bins, one for the truth, and one of the losses."""
    rows, kinds = read_table(path / _DETERMINISTIC / "binned.csv", Binned), _kinds(config)
    height = math.ceil((len(kinds) + 2) / _COLUMNS)
    figure = plots.new_figure(width=14, height=3.2 * height)
    panels: list[Axes] = list(figure.subplots(height, _COLUMNS, squeeze=False).flat)
    for axes, (title, kind) in zip(panels, kinds.items(), strict=False):
        curves = {layer: _curve(rows, layer, _OF_T, *kind) for layer in _layers(config)}
        _draw_curves(axes, curves, title=title, ylabel="H(Bin(T)) in nats")
    panels[0].legend(loc="lower left", frameon=False)
    truth, losses, *empty = panels[len(kinds) :]
    curves = {layer: [(row.epoch, row.ceiling) for row in rows if row.layer == layer] for layer in _layers(config)}
    _draw_curves(truth, curves, title="no bins: the truth", ylabel="I(X;T) = H(T) in nats")
    truth.text(0.5, 0.5, "infinite,\nwere X continuous", transform=truth.transAxes, ha="center", va="center")
    szt.draw_losses(losses, path / _DETERMINISTIC)
    losses.legend(frameon=False)
    for axes in panels[: len(kinds) + 1]:
        axes.set_ylim(0, 9.2)
    for axes in empty:
        axes.set_visible(False)
    save_figure(figure, path / "szt-binning.png")


def _draw_noisy(config: Config, path: Path) -> None:
    """Draw points of the last layer over panels of I(X;T), of the binned entropies, and of one against the other."""
    noisy, shown, layers = path / _NOISY, config.shown_epochs, _layers(config)
    figure = plots.new_figure(width=12, height=7)
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 1.3))
    cells = grid[0].subgridspec(1, len(shown))
    szt.draw_scatter([figure.add_subplot(cells[i], projection="3d") for i in range(len(shown))], noisy)
    cells = grid[1].subgridspec(1, 3)
    information = figure.add_subplot(cells[0])
    entropy = figure.add_subplot(cells[1], sharey=information)
    both = figure.add_subplot(cells[2], sharey=information)
    szt.draw_information(information, noisy)
    information.set_title("95 % intervals", fontsize="medium")
    information.set_xlabel("epoch")
    rows, pairs, size = read_table(noisy / "binned.csv", Binned), _pairs(noisy), config.noisy_bin * config.sigma
    title = f"bins of {config.noisy_bin:g} sigma = {size:g}"
    both.axline((math.log(4096), math.log(4096)), slope=1, color="#cccccc", linewidth=1)
    for quantity, style, marker in ((_OF_T, "-", "o"), (_OF_S, ":", "x")):
        curves = {layer: _curve(rows, layer, quantity, "fixed", size) for layer in layers}
        _draw_curves(entropy, curves, title=title, ylabel="binned entropy in nats", style=style)
        for layer, color in zip(layers, plots.sequence_colors(len(layers)), strict=True):
            points = [pair for (of, at, _), pair in pairs.items() if (of, at) == (quantity, layer)]
            both.plot(*np.reshape(points, (-1, 2)).T, marker, color=color, markersize=4)
    plots.curve_panel(both, xlabel="I(X;T) in nats", ylabel="binned entropy in nats")
    both.set_title("an epoch and a layer each", fontsize="medium")
    both.set_xscale("linear")
    for layer, color in zip(layers, plots.sequence_colors(len(layers)), strict=True):
        both.plot([], [], color=color, label=layer, linewidth=4)
    for quantity, style in ((_OF_T, "-o"), (_OF_S, ":x")):
        both.plot([], [], style, color="black", label=quantity, markersize=4)
    plots.legend_outside(both)
    save_figure(figure, path / "szt-binning-noisy.png")


def _draw_curves(axes: Axes, curves: Mapping[str, _Curve], *, title: str, ylabel: str, style: str = "-") -> None:
    """Draw the curve of each layer over the epochs, under the line of log 4096."""
    # The first layers coincide: thinner lines go on top of thicker ones.
    widths = np.linspace(4, 1.5, len(curves))
    for (layer, curve), color, width in zip(curves.items(), plots.sequence_colors(len(curves)), widths, strict=True):
        axes.plot(*np.reshape(curve, (-1, 2)).T, style, color=color, label=layer, linewidth=width)
    plots.curve_panel(axes, xlabel="epoch", ylabel=ylabel)
    axes.set_title(title, fontsize="medium")
    plots.reference_line(axes, math.log(4096), "log 4096")
