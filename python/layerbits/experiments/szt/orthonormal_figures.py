"""Figures of the experiment szt-tanh-orthonormal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from layerbits import plots
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.szt.figures import plot_information, plot_losses, plot_scatter
from layerbits.experiments.szt.orthonormal_tables import (
    PAIR_KINDS,
    VARIANTS,
    Distances,
    OrthonormalSettings,
    SingularValue,
)
from layerbits.geometry import DistanceHistogram
from layerbits.training import read_training

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def information_figure(config: OrthonormalSettings, path: Path) -> Figure:
    """Plot points of the last layer, information, losses and errors of both networks."""
    epochs = config.shown_epochs
    figure = plots.new_figure(width=11, height=13.5)
    *scatters, curves = figure.subfigures(3, 1, squeeze=False, height_ratios=(1, 1, 3.4))[:, 0]
    for variant, scatter in zip(VARIANTS, scatters, strict=True):
        scatter.suptitle(f"{variant}: points of the last hidden layer")
        panels = scatter.subplots(1, len(epochs), subplot_kw={"projection": "3d"}, squeeze=False)
        plot_scatter(panels[0], path / variant)
    rows = curves.subplots(3, len(VARIANTS), sharex=True, sharey="row", height_ratios=(1.4, 1, 1))
    for variant, column in zip(VARIANTS, rows.T, strict=True):
        column[0].set_title(variant)
        plot_information(column[0], path / variant)
        plot_losses(column[1], path / variant)
        _plot_errors(column[2], config, path / variant)
        for axes in column:
            plots.mark_epochs(axes, epochs)
            axes.label_outer()
    curves.align_ylabels()
    _add_legends(rows, ("95 % intervals", None, "one standard error"))
    return figure


def weights_figure(path: Path) -> Figure:
    """Plot singular values of the weights, and distances in the last layer, of both networks."""
    values = read_table(path / "singular_values.csv", SingularValue)
    distances = read_table(path / "distances.csv", Distances)
    figure = plots.new_figure(width=11, height=8)
    rows = figure.subplots(2, len(VARIANTS), sharey="row")
    for variant, (upper_panel, lower_panel) in zip(VARIANTS, rows.T, strict=True):
        upper_panel.set_title(variant)
        _plot_singular_values(upper_panel, [row for row in values if row.variant == variant])
        _plot_distances(lower_panel, [row for row in distances if row.variant == variant])
    for axes in rows[:, 1:].flat:
        axes.set_ylabel("")
    _add_legends(rows, (None, "pairs of inputs"))
    return figure


def _plot_errors(axes: Axes, config: OrthonormalSettings, path: Path) -> None:
    rows = read_training(path / "training.csv") if (path / "training.csv").exists() else []
    fractions = {"train": 1 - config.test_fraction, "test": config.test_fraction}
    for (split, fraction), color in zip(fractions.items(), plots.CLASS_COLORS, strict=True):
        epochs = [row.epoch for row in rows if row.split == split]
        error = 1 - np.array([row.accuracy for row in rows if row.split == split])
        standard_error = np.sqrt(error * (1 - error) / (fraction * 4096))
        axes.fill_between(epochs, error - standard_error, error + standard_error, color=color, alpha=0.3, linewidth=0)
        axes.plot(epochs, error, color=color, label=split)
    plots.curve_panel(axes, xlabel="epoch", ylabel="share of errors")
    axes.set_yscale("log")


def _plot_singular_values(axes: Axes, values: Sequence[SingularValue]) -> None:
    layers = list(dict.fromkeys(row.layer for row in values))
    for layer, color in zip(layers, plots.sequence_colors(len(layers)), strict=True):
        layer_rows = [row for row in values if row.layer == layer]
        for number in range(1, 1 + max(row.number for row in layer_rows)):
            curve = [row for row in layer_rows if row.number == number]
            label = layer if number == 1 else None
            axes.plot([row.epoch for row in curve], [row.value for row in curve], color=color, linewidth=1, label=label)
    plots.curve_panel(axes, xlabel="epoch", ylabel="singular values of the weights")
    axes.set_yscale("log")


def _plot_distances(axes: Axes, distances: Sequence[Distances]) -> None:
    if not distances:
        axes.set(xlabel="distance in the last hidden layer", ylabel="share of the pairs")
        return
    last_epoch = max(row.epoch for row in distances)
    rows = {kind: [row for row in distances if (row.epoch, row.kind) == (last_epoch, kind)] for kind in PAIR_KINDS}
    within, between = (np.array([row.pairs for row in kind_rows]) for kind_rows in rows.values())
    edges = np.array([rows["within"][0].lower, *(row.upper for row in rows["within"])])
    plots.distances(DistanceHistogram(edges, within, between, outside=0, metric="euclidean"), ax=axes)
    axes.set_xlabel(f"distance in the last hidden layer, epoch {last_epoch}")


def _add_legends(rows: npt.NDArray[Any], titles: tuple[str | None, ...]) -> None:
    """Move the legend of the first panel of each row to the right of the last panel."""
    for row, title in zip(rows, titles, strict=True):
        for axes in row:
            if axes.get_legend():
                axes.get_legend().remove()
        handles, labels = row[0].get_legend_handles_labels()
        row[-1].legend(
            handles, labels, title=title, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, alignment="left"
        )
