"""Figure of the sliced information: the layers of the deterministic network, and the last layer of all networks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layerbits import plots
from layerbits.experiments.cnn.slices import QUANTITIES, SlicedInformation
from layerbits.experiments.framework.run_folder import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Colors = Mapping[str, plots.Color]


def plot_slices(rows: Sequence[SlicedInformation], layer_colors: _Colors, variant_colors: _Colors, path: Path) -> None:
    """Plot each quantity over the epochs, with the bands of its intervals."""
    last_layer = list(layer_colors)[-1]
    figure = plots.new_figure(width=11, height=6)
    for panels, quantity in zip(figure.subplots(len(QUANTITIES), 2, sharex=True), QUANTITIES, strict=True):
        curves = {
            name: [row for row in rows if (row.variant, row.layer, row.quantity) == (*name, quantity)]
            for name in itertools.product(variant_colors, layer_colors)
        }
        for layer, color in layer_colors.items():
            _plot_band(panels[0], curves["deterministic", layer], color, layer)
        for variant, color in variant_colors.items():
            _plot_band(panels[1], curves[variant, last_layer], color, variant)
        for axes, title in zip(panels, ("deterministic", last_layer), strict=True):
            plots.curve_panel(axes, xlabel="epoch", ylabel=f"{quantity} in nats")
            axes.set_title(title, fontsize="medium")
            axes.set_ylim(bottom=0)
            plots.legend_outside(axes)
    save_figure(figure, path)


def _plot_band(axes: Axes, rows: Sequence[SlicedInformation], color: plots.Color, label: str) -> None:
    ends = ([getattr(row, end) for row in rows] for end in ("lower", "value", "upper"))
    plots.band(axes, [row.epoch for row in rows], ends, plots.CurveStyle(color=color, label=label))
