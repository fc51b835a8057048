"""`information.png`: information over the epochs by layer and readout, for a folder that no experiment made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from layerbits import plots
from layerbits._base import InformationTable, replacing
from layerbits.training import read_information

_FIGURE = "information.png"

# Height of a panel, and width of the figure, in inches.
_HEIGHT, _WIDTH = 3.0, 9.0


def plot_information(folder: Path) -> None:
    """Plot a panel for each information in the information.csv of a folder, with a band for each layer and readout.

    Raises
    ------
    UsageError
        The table is damaged.
    """
    tables = read_information(folder / "information.csv")
    quantities = [name for name in _names(tables.values(), "quantity") if not name.startswith("h(")]
    if not quantities:
        return
    layers = _names(tables.values(), "layer")
    figure = plots.new_figure(width=_WIDTH, height=_HEIGHT * len(quantities))
    panels = figure.subplots(len(quantities), squeeze=False)[:, 0]
    # Curves that coincide stay visible, because later lines are thinner and lie on top.
    styles = zip(layers, plots.sequence_colors(len(layers)), np.linspace(4, 1.5, len(layers)), strict=True)
    curves = [plots.CurveStyle(color=color, label=layer, linewidth=width) for layer, color, width in styles]
    for axes, quantity in zip(panels, quantities, strict=True):
        for curve in curves:
            rows = {
                epoch: row
                for epoch, table in tables.items()
                for row in table
                if (row.layer, row.quantity) == (curve.label, quantity)
            }
            ends = ([getattr(row, end) for row in rows.values()] for end in ("lower", "value", "upper"))
            plots.band(axes, list(rows), ends, curve)
            # A marker shows a single epoch, which has no line.
            axes.plot(list(rows), [row.value for row in rows.values()], "o", color=curve.color, markersize=3)
        plots.curve_panel(axes, xlabel="epoch", ylabel=f"{quantity} in nats")
        if min(tables) < 1:  # a logarithmic axis cannot show epoch 0
            axes.set_xscale("linear")
        plots.legend_outside(axes)
    with replacing(folder / _FIGURE) as draft:
        figure.savefig(draft, dpi=120)


def _names(tables: Iterable[InformationTable], column: str) -> list[str]:
    """Return the names in a column, in the order of the rows, each once."""
    return list(dict.fromkeys(getattr(row, column) for table in tables for row in table))
