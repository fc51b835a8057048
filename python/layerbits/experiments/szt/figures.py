"""Panels and figures from the tables of one network on the SZT data; a missing table leaves a panel empty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerbits import plots
from layerbits.experiments.szt.scatter import read_scatter
from layerbits.experiments.szt.settings import SztSettings
from layerbits.training import read_history, read_training

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D  # type: ignore[import-untyped]

_CUBE_MARGIN = 0.2  # points up to this far outside the cube of tanh do not enlarge the axes


def network_figure(settings: SztSettings, path: Path) -> Figure:
    """Plot the points of the last hidden layer, the information and the losses of the network in a folder."""
    epochs = settings.shown_epochs
    figure = plots.new_figure(width=11, height=8.5)
    grid = figure.add_gridspec(3, len(epochs), height_ratios=(1.1, 1.3, 1))
    plot_scatter([figure.add_subplot(grid[0, column], projection="3d") for column in range(len(epochs))], path)
    information = figure.add_subplot(grid[1, :])
    losses = figure.add_subplot(grid[2, :], sharex=information)
    plot_information(information, path)
    plots.legend_outside(information, title="95 % intervals")
    plot_losses(losses, path)
    plots.legend_outside(losses)
    for axes in (information, losses):
        plots.mark_epochs(axes, list(epochs))
        axes.label_outer()
    return figure


def plot_scatter(panels: Sequence[Axes3D], path: Path) -> None:
    """Plot the points of the last hidden layer in the scatter.csv of a folder, one epoch per panel."""
    for panel, (epoch, (labels, points)) in zip(panels, read_scatter(path).items(), strict=False):
        largest_coordinate = np.abs(points).max()
        limit = 1.0 if largest_coordinate < 1 + _CUBE_MARGIN else math.ceil(largest_coordinate)
        plots.scatter(points, labels, limit=limit, ax=panel)
        panel.set_title(f"epoch {epoch}", fontsize="medium")


def plot_information(axes: Axes, path: Path) -> None:
    """Plot I(X;T) of each layer in the information.csv of a folder over the epochs, as bands."""
    if (path / "information.csv").exists():
        plots.curves(read_history(path), ax=axes)
    else:
        plots.curve_panel(axes, ylabel="I(X;T) in nats")


def plot_losses(axes: Axes, path: Path) -> None:
    """Plot the cross-entropies in the training.csv of a folder over the epochs."""
    rows = read_training(path / "training.csv") if (path / "training.csv").exists() else []
    for split, color in zip(("train", "test"), plots.CLASS_COLORS, strict=True):
        curve = [row for row in rows if row.split == split]
        axes.plot([row.epoch for row in curve], [row.loss for row in curve], color=color, label=split)
    plots.curve_panel(axes, xlabel="epoch", ylabel="cross-entropy in nats")
    axes.set_ylim(bottom=0)
