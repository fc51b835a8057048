"""Figures of the experiment on slices, from the tables of a finished or unfinished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layerbits import plots
from layerbits._base import InformationHistory
from layerbits.experiments.framework.run_folder import save_figure
from layerbits.experiments.sliced.settings import SLICE_DIMS, SlicedConfig
from layerbits.training import read_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SYMBOLS = ("I", *(f"SI_{dim}" for dim in SLICE_DIMS))
_COLUMNS = (*(f"{symbol}(X;T)" for symbol in SYMBOLS), "I(T;Y)")


def plot(config: SlicedConfig, path: Path, name: str) -> None:
    """Save NAME.png, curves over the epochs, and NAME-planes.png; a row of panels for each variant."""
    histories = {
        variant: read_history(path / variant)
        for variant in config.variants
        if (path / variant / "information.csv").exists()
    }
    rows = max(1, len(histories))
    figure = plots.new_figure(width=15, height=3.2 * rows)
    panels = figure.subplots(rows, len(_COLUMNS), squeeze=False, sharey="col")
    for row_panels, (variant, history) in zip(panels, histories.items(), strict=False):
        _plot_curves(row_panels, variant, history)
    save_figure(figure, path / f"{name}.png")
    figure = plots.new_figure(width=15, height=4 * rows)
    panels = figure.subplots(rows, len(SYMBOLS), squeeze=False, sharex="col", sharey="col")
    for row_panels, (variant, history) in zip(panels, histories.items(), strict=False):
        for axes, symbol in zip(row_panels, SYMBOLS, strict=True):
            plots.information_plane(history, quantities=(f"{symbol}(X;T)", f"{symbol}(T;Y)"), ax=axes)
            axes.set_title(variant, fontsize="medium")
        row_panels[0].legend(loc="best", frameon=False)
    save_figure(figure, path / f"{name}-planes.png")


def _plot_curves(panels: Sequence[Axes], variant: str, history: InformationHistory) -> None:
    from matplotlib.ticker import MaxNLocator

    for axes, quantity in zip(panels, _COLUMNS, strict=True):
        plots.curves(history, quantity, ax=axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(variant, fontsize="medium")
        limit = history.limits.get(quantity)
        axes.set_ylim(0, None if limit is None else 1.1 * limit)
    panels[0].legend(loc="best", frameon=False, title="95 % intervals")
