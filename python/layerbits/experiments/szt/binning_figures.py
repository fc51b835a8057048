"""Figures of the experiment szt-binning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerbits import plots
from layerbits._base import InformationHistory, InformationRow, InformationTable
from layerbits.experiments.framework.run_folder import save_figure
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.szt.binning_tables import (
    DETERMINISTIC,
    ENTROPY_OF_S,
    ENTROPY_OF_T,
    NOISY,
    Binned,
    BinningSettings,
    Bins,
    Curve,
    binned_curve,
    read_pairs,
)
from layerbits.experiments.szt.figures import plot_information, plot_losses, plot_scatter
from layerbits.training import read_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4
_BINNED_QUANTITIES = (ENTROPY_OF_T, "I(Bin(T);Y)")


def plot_deterministic(config: BinningSettings, path: Path, file: Path) -> None:
    """Save a figure of the deterministic network in a folder: a panel per kind of bins, information and losses."""
    rows, kinds = read_table(path / "binned.csv", Binned), config.deterministic_bins
    height = math.ceil((len(kinds) + 2) / _COLUMNS)
    figure = plots.new_figure(width=14, height=3.2 * height)
    panels: list[Axes] = list(figure.subplots(height, _COLUMNS, squeeze=False).flat)
    for axes, bins in zip(panels, kinds, strict=False):
        curves = {layer: binned_curve(rows, layer, ENTROPY_OF_T, bins) for layer in config.layers}
        _plot_curves(axes, curves, title=bins.title, ylabel="H(Bin(T)) in nats")
    panels[0].legend(loc="lower left", frameon=False)
    information, losses, *unused = panels[len(kinds) :]
    curves = {layer: [(row.epoch, row.ceiling) for row in rows if row.layer == layer] for layer in config.layers}
    _plot_curves(information, curves, title="no bins: the true value", ylabel="I(X;T) = H(T) in nats")
    information.text(0.5, 0.5, "infinite for\ncontinuous X", transform=information.transAxes, ha="center", va="center")
    plot_losses(losses, path)
    losses.legend(frameon=False)
    for axes in panels[: len(kinds) + 1]:
        axes.set_ylim(0, 9.2)
    for axes in unused:
        axes.set_visible(False)
    save_figure(figure, file)


def plot_noisy(config: BinningSettings, path: Path, file: Path) -> None:
    """Save a figure of the noisy network in a folder: points of its last layer, I(X;T) and binned entropies."""
    figure = plots.new_figure(width=12, height=7)
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 1.3))
    cells = grid[0].subgridspec(1, len(config.shown_epochs))
    plot_scatter([figure.add_subplot(cells[i], projection="3d") for i in range(len(config.shown_epochs))], path)
    cells = grid[1].subgridspec(1, 3)
    information = figure.add_subplot(cells[0])
    plot_information(information, path)
    information.set_title("95 % intervals", fontsize="medium")
    information.set_xlabel("epoch")
    _plot_noisy_entropies(figure.add_subplot(cells[1], sharey=information), config, path)
    _plot_pairs(figure.add_subplot(cells[2], sharey=information), config, path)
    save_figure(figure, file)


def plot_planes(config: BinningSettings, path: Path, file: Path) -> None:
    """Save a figure of two information planes in a folder: binned and deterministic, beside noisy and certified."""
    figure = plots.new_figure(width=12, height=5)
    binned, certified = figure.subplots(1, 2, sharex=True, sharey=True)
    rows, bins = read_table(path / DETERMINISTIC / "binned.csv", Binned), config.deterministic_bins[-2]
    noisy = read_history(path / NOISY)
    if rows:
        plots.information_plane(_binned_history(rows, bins, noisy.limits), quantities=_BINNED_QUANTITIES, ax=binned)
    binned.set_title(f"without noise, {bins.title}", fontsize="medium")
    plots.information_plane(noisy, ax=certified)
    certified.set_title(f"noise of sigma = {config.sigma:g}, 95 % intervals", fontsize="medium")
    certified.legend(loc="lower center", frameon=False)
    save_figure(figure, file)


def _binned_history(rows: Sequence[Binned], bins: Bins, limits: Mapping[str, float]) -> InformationHistory:
    """Return the binned entropies and informations as tables, with intervals of width 0 and the limits log N, H(Y)."""
    pairs = zip(_BINNED_QUANTITIES, ("I(X;T)", "I(T;Y)"), strict=True)
    binned_limits = {binned: limits[quantity] for binned, quantity in pairs if quantity in limits}
    tables: dict[int, list[InformationRow]] = {}
    for row in rows:
        if (row.estimator, str(row.bin_size)) == (bins.estimator, str(bins.size)):
            for quantity, value in zip(_BINNED_QUANTITIES, (row.value, row.label_information), strict=True):
                cells = InformationRow(row.layer, quantity, bins.title, value, math.nan, value, value, "nats", 1, 0.0)
                tables.setdefault(row.epoch, []).append(cells)
    return InformationHistory(
        {epoch: InformationTable(tuple(cells), binned_limits) for epoch, cells in tables.items()},
        confidence=math.nan,
        simultaneous=False,
    )


def _plot_noisy_entropies(axes: Axes, config: BinningSettings, path: Path) -> None:
    rows, (bins,) = read_table(path / "binned.csv", Binned), config.noisy_bins
    for quantity, style in ((ENTROPY_OF_T, "-"), (ENTROPY_OF_S, ":")):
        curves = {layer: binned_curve(rows, layer, quantity, bins) for layer in config.layers}
        _plot_curves(axes, curves, title=bins.title, ylabel="binned entropy in nats", style=style)


def _plot_pairs(axes: Axes, config: BinningSettings, path: Path) -> None:
    """Plot the binned entropies against I(X;T), a point per epoch and layer."""
    pairs, colors = read_pairs(path), plots.sequence_colors(len(config.layers))
    axes.axline((math.log(4096), math.log(4096)), slope=1, color="#cccccc", linewidth=1)
    for quantity, marker in ((ENTROPY_OF_T, "o"), (ENTROPY_OF_S, "x")):
        for layer, color in zip(config.layers, colors, strict=True):
            points = [(p.information, p.entropy) for p in pairs if (p.quantity, p.layer) == (quantity, layer)]
            axes.plot(*np.reshape(points, (-1, 2)).T, marker, color=color, markersize=4)
    plots.curve_panel(axes, xlabel="I(X;T) in nats", ylabel="binned entropy in nats")
    axes.set_title("a point per epoch and layer", fontsize="medium")
    axes.set_xscale("linear")
    axes.margins(x=0.05)  # the ends of the axis cut no marker
    for layer, color in zip(config.layers, colors, strict=True):
        axes.plot([], [], color=color, label=layer, linewidth=4)
    for quantity, style in ((ENTROPY_OF_T, "-o"), (ENTROPY_OF_S, ":x")):
        axes.plot([], [], style, color="black", label=quantity, markersize=4)
    plots.legend_outside(axes)


def _plot_curves(axes: Axes, curves: Mapping[str, Curve], *, title: str, ylabel: str, style: str = "-") -> None:
    """Plot the curve of each layer over the epochs, below a line at log 4096."""
    # The curves of the first layers coincide, so later lines are thinner and lie on top.
    line_widths = np.linspace(4, 1.5, len(curves))
    colors = plots.sequence_colors(len(curves))
    for (layer, curve), color, line_width in zip(curves.items(), colors, line_widths, strict=True):
        axes.plot(*np.reshape(curve, (-1, 2)).T, style, color=color, label=layer, linewidth=line_width)
    plots.curve_panel(axes, xlabel="epoch", ylabel=ylabel)
    axes.set_title(title, fontsize="medium")
    plots.reference_line(axes, math.log(4096), "log 4096")
