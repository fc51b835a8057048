"""The figure of the experiment spiral: the data with the network's decisions, and the estimates of the entropy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerbits import plots
from layerbits.experiments.entropy.entropy_estimators import plot_entropies
from layerbits.experiments.entropy.spiral.network import GRID_EDGE, Decision, LabelledPoint
from layerbits.experiments.entropy.spiral.reference import Reference
from layerbits.experiments.entropy.spiral.settings import CLASSES, WIDTHS, Config, EstimateRow
from layerbits.experiments.framework.run_folder import save_figure
from layerbits.experiments.framework.tables import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLOTTED_POINTS = 600
_COLORS = plots.class_colors(CLASSES)


def plot_figure(config: Config, path: Path, name: str) -> None:
    """Plot the tables in the folder `path`."""
    figure = plots.new_figure(width=11.5, height=4.6)
    plane, curves = figure.subplots(1, 2, width_ratios=(1, 1.35))
    _plot_decisions(plane, config, read_table(path / "decision.csv", Decision))
    _plot_points(plane, read_table(path / "spiral.csv", LabelledPoint))
    for reference in read_table(path / "reference.csv", Reference):
        rows = read_table(path / "estimates.csv", EstimateRow)
        plot_entropies(curves, rows, lower=reference.lower, upper=reference.upper)
        plots.legend_outside(curves)
    curves.set_xlabel("samples n")
    curves.set_title(f"third layer, d = {WIDTHS[-1]}, sigma = {config.sigma:g}", fontsize="medium")
    save_figure(figure, path / f"{name}.png")


def _plot_decisions(axes: Axes, config: Config, decisions: Sequence[Decision]) -> None:
    """Plot the plane in pale colours of the classes, mixed by their shares of the passes."""
    from matplotlib.colors import to_rgb

    limits = (-GRID_EDGE, GRID_EDGE)
    if decisions:
        shares = np.array([decision[2:] for decision in decisions]).reshape(config.grid, config.grid, CLASSES)
        pale_colors = 0.45 * np.array([to_rgb(color) for color in _COLORS]) + 0.55
        axes.imshow(shares @ pale_colors, origin="lower", extent=(*limits, *limits), interpolation="bilinear")
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="x", ylabel="y")
    axes.set_title("data, and decisions of noisy passes", fontsize="medium")


def _plot_points(axes: Axes, points: Sequence[LabelledPoint]) -> None:
    for label, color in enumerate(_COLORS):
        coordinates = [(point.x, point.y) for point in points[:_PLOTTED_POINTS] if point.label == label]
        axes.plot(*np.array(coordinates).reshape(-1, 2).T, ".", color=color, markersize=3)
