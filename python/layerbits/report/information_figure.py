"""`information.png`: information over the epochs by layer and readout, for a folder that no experiment made."""

from __future__ import annotations

from pathlib import Path

from layerbits import plots
from layerbits._base import replacing
from layerbits.report.thinning import evenly
from layerbits.training import read_history

INFORMATION_FIGURE = "information.png"

# Height of a panel, and width of the figure, in inches.
_HEIGHT, _WIDTH = 3.0, 9.0
_MAX_LAYERS, _MAX_PANELS = 12, 12


def plot_information(folder: Path) -> None:
    """Plot a panel for each information in the information.csv of a folder, with a band for each layer and readout.

    If there are many layers, a panel shows the first, the last and others at equal distances; its legend names them. If
    there are many quantities, only the first are plotted.

    Raises
    ------
    UsageError
        The table is damaged.
    """
    history = read_history(folder)
    quantities = [name for name in dict.fromkeys(row.quantity for _, row in history.rows) if not name.startswith("h(")]
    quantities = quantities[:_MAX_PANELS]
    if not quantities:
        return
    figure = plots.new_figure(width=_WIDTH, height=_HEIGHT * len(quantities))
    for axes, quantity in zip(figure.subplots(len(quantities), squeeze=False)[:, 0], quantities, strict=True):
        layers = list(dict.fromkeys(row.layer for _, row in history.rows if row.quantity == quantity))
        shown = [layers[index] for index in evenly(len(layers), _MAX_LAYERS)]
        plots.curves(history, quantity, layers=shown, ax=axes)
        plots.legend_outside(axes)
    with replacing(folder / INFORMATION_FIGURE) as draft:
        figure.savefig(draft, dpi=120)
