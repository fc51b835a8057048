"""The figure of a report: dense rates by dimension, pruned speed by layer, time by size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.methods import TREES
from benchmarks.suites.report import Report
from benchmarks.topics import dense
from layerbits import plots
from layerbits._base import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")


def save_figure(report: Report, path: Path) -> None:
    """Plot a report into an SVG or PNG file."""
    figure = plots.new_figure(width=14, height=4)
    dense_axes, layer_axes, size_axes = figure.subplots(1, 3)
    _plot_dense(dense_axes, report)
    _plot_layers(layer_axes, report)
    _plot_sizes(size_axes, report)
    with replacing(path) as draft:
        figure.savefig(draft, format=path.suffix[1:], dpi=150)


def _plot_dense(axes: Axes, report: Report) -> None:
    rows = sorted((row for row in report.dense if row.problem.startswith("mixture")), key=lambda row: row.dim)
    for name, color in zip(dense.NAMES, plots.class_colors(len(dense.NAMES)), strict=True):
        for dtype, style in (("float32", "-"), ("float64", "--")):
            rates = {row.dim: row.rates[name] for row in rows if row.dtype == dtype and name in row.rates}
            label = name if dtype == "float32" else None
            axes.plot(list(rates), list(rates.values()), style, marker=".", color=color, label=label)
    plots.curve_panel(axes, xlabel="dimension", ylabel="pairs per second")
    axes.set(yscale="log", title="every pair computed; dashed: float64")
    _tick(axes, [row.dim for row in rows])
    plots.legend_outside(axes)


def _plot_layers(axes: Axes, report: Report) -> None:
    """Plot the speed of each method on layers, relative to the dense kernel."""
    positions, rows = range(len(report.pruned)), report.pruned
    colors = plots.class_colors(2 + len(TREES))
    for method, marker, color in zip(("pruned", "auto"), "ox", colors[:2], strict=True):
        speeds = [row.speedup_over_dense[method].median for row in rows]
        axes.plot(positions, speeds, marker, color=color, label=method)
    for tree, marker, color in zip(TREES, "^v<", colors[2:], strict=True):
        if tree in rows[0].speedup_over_trees:
            speeds = [row.speedup_over_dense["auto"].median / row.speedup_over_trees[tree].median for row in rows]
            axes.plot(positions, speeds, marker, color=color, label=tree)
    plots.curve_panel(axes, xlabel="layer, epoch", ylabel="speed over the dense kernel")
    axes.set(xscale="linear", yscale="log", title="layers of a network in training")
    axes.set_xticks(positions, [f"{row.layer}, {row.epoch}" for row in rows], rotation=90)
    plots.reference_line(axes, 1.0, "dense")
    plots.legend_outside(axes)


def _plot_sizes(axes: Axes, report: Report) -> None:
    for (method, seconds), color in zip(report.scaling.seconds.items(), plots.class_colors(2), strict=True):
        label = f"{method}: exponent {report.scaling.exponents[method]:.2f}"
        axes.plot(report.scaling.sizes, seconds, marker="o", color=color, label=label)
    plots.curve_panel(axes, xlabel="n = m", ylabel="seconds")
    axes.set(yscale="log", title="three dimensions, one sigma")
    _tick(axes, report.scaling.sizes)
    plots.legend_outside(axes)


def _tick(axes: Axes, values: Sequence[int]) -> None:
    axes.set_xticks(values, [str(value) for value in values], rotation=45)
    axes.minorticks_off()
