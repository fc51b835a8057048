"""Curves over the epochs of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerbits._base import InformationHistory
from layerbits.plots.figures import (
    band,
    curve_panel,
    curve_styles,
    label_epochs,
    legend_of_layers,
    literal,
    reference_line,
)
from layerbits.plots.given_axes import check_history, checked_name, checked_names, checked_unit, given_axes, layers_with

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(
    history: InformationHistory,
    quantity: str = "I(X;T)",
    *,
    layers: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot a quantity of each layer over the epochs, with a band for its intervals.

    Parameters
    ----------
    history : InformationHistory
        The measured epochs, from `Monitor.history` or `read_history`.
    quantity : str
        The symbol of the quantity, as in the rows of the history.
    layers : sequence of str, optional
        The layers to plot; all by default.
    ax : matplotlib Axes, optional
        The axes to plot on, to which ``ax.legend()`` adds a legend; by default those of a new pyplot figure with one.

    Returns
    -------
    matplotlib Axes
        The axes, which have a dashed line at the largest possible value of an information, if the history has it.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    TypeError, ValueError
        An argument has a wrong type, or the history is empty, or lacks the quantity or one of `layers`.

    Examples
    --------
    >>> import layerbits as lb
    >>> row = lb.InformationRow("fc1", "I(X;T)", "draws", 1.0, 0.1, 0.8, 1.3, "nats", 32, 0.5)
    >>> table = lb.InformationTable((row,), {"I(X;T)": 2.0})
    >>> ax = lb.plots.curves(lb.InformationHistory({1: table, 10: table}, 0.95, False))
    >>> ax.get_ylabel()
    'I(X;T) in nats'
    """
    check_history(history)
    quantities = dict.fromkeys(row.quantity for _, row in history.rows)
    quantity = checked_name("quantity", quantity, quantities)
    layers = checked_names("layers", layers, layers_with(history, [quantity]))
    unit, axes = checked_unit("history", (row.unit for _, row in history.rows)), given_axes(ax)
    curve_panel(axes, xlabel="epoch", ylabel=literal(f"{quantity} in {unit}"))
    if history.epochs[0] < 1:  # a logarithmic axis cannot show epoch 0, and warns if there is no other epoch
        axes.set_xscale("linear")
    label_epochs(axes.xaxis)
    for layer, style in zip(layers, curve_styles(layers), strict=True):
        rows = {epoch: row for epoch, row in history.rows if (row.layer, row.quantity) == (layer, quantity)}
        ends = ([getattr(row, end) for row in rows.values()] for end in ("lower", "value", "upper"))
        band(axes, list(rows), ends, style)
    if quantity in history.limits:
        limit = history.limits[quantity]
        reference_line(axes, limit, literal(limit_label(quantity, limit, unit)))
    if ax is None:
        legend_of_layers(axes)
    return axes


def limit_label(quantity: str, limit: float, unit: str) -> str:
    """Return the name of the largest possible value of an information, or of the entropy of a layer: log N, or H(Y)."""
    pair = quantity.partition("(")[2]  # the part before it may be the symbol of a slice, such as SI_1
    if pair == "X;T)" or ";" not in pair:
        n_inputs = math.exp(limit) if unit == "nats" else 2**limit
        return f"log {n_inputs:.0f}"
    labels = pair.split(";")[1].split("|")[-1].rstrip(")")
    return f"H(X|{labels})" if pair.startswith("X;") else f"H({labels})"
