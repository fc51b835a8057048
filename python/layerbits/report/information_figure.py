"""`information.png`: information over the epochs by layer and readout, for a folder that no experiment made."""

from __future__ import annotations

from pathlib import Path

from layerbits import plots
from layerbits._base import replacing
from layerbits.training import read_history

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
    history = read_history(folder)
    quantities = [name for name in dict.fromkeys(row.quantity for _, row in history.rows) if not name.startswith("h(")]
    if not quantities:
        return
    figure = plots.new_figure(width=_WIDTH, height=_HEIGHT * len(quantities))
    for axes, quantity in zip(figure.subplots(len(quantities), squeeze=False)[:, 0], quantities, strict=True):
        plots.curves(history, quantity, ax=axes)
        plots.legend_outside(axes)
    with replacing(folder / _FIGURE) as draft:
        figure.savefig(draft, dpi=120)
