"""The intervals of one measurement, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from layerbits._base import InformationTable, check_type
from layerbits.plots.figures import class_colors, cut_names, legend_names, legend_outside, literal, marker
from layerbits.plots.given_axes import checked_names, checked_unit, given_axes
from layerbits.plots.over_epochs import limit_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEAR = 0.08  # distance of limits with one label, as a share of the axis
_SPREAD = 0.5  # distance of the first and the last interval of a layer; layers have the distance 1


def intervals(table: InformationTable, *, layers: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Plot the intervals of every information: one line for each layer, the first at the top.

    Parameters
    ----------
    table : InformationTable
        A measurement.
    layers : sequence of str, optional
        The layers to plot; all by default.
    ax : matplotlib Axes, optional
        The axes to plot on, to which ``ax.legend()`` adds a legend; by default those of a new pyplot figure with one.

    Returns
    -------
    matplotlib Axes
        The axes. A marker shows the value; it is hollow if the information is saturated. Dashed lines, with names above
        the axes, show the largest possible values, if the table has them.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    TypeError, ValueError
        An argument has a wrong type, or the table has no information or lacks one of `layers`.

    Examples
    --------
    >>> import layerbits as lb
    >>> row = lb.InformationRow("fc1", "I(X;T)", "draws", 1.0, 0.1, 0.8, 1.3, "nats", 32, 0.5)
    >>> ax = lb.plots.intervals(lb.InformationTable((row,)))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['fc1']
    """
    check_type("table", table, InformationTable, wanted="an InformationTable, such as that of layer_information")
    quantities = checked_names("table", None, [name for name in table.quantities if not name.startswith("h(")])
    layers = checked_names("layers", layers, table.layers)
    height = 1.4 + max(0.45 * len(layers), 0.24 * len(quantities))  # of the layers, and of the legend beside them
    unit, axes = checked_unit("table", (row.unit for row in table)), given_axes(ax, height=height)
    offsets = np.linspace(-_SPREAD / 2, _SPREAD / 2, len(quantities)) if len(quantities) > 1 else [0.0]
    colors, markers = class_colors(len(quantities)), map(marker, range(len(quantities)))
    styles = zip(quantities, legend_names(quantities), offsets, colors, markers, strict=True)
    for quantity, label, offset, color, shape in styles:
        rows = {row.layer: row for row in table.rows if row.quantity == quantity}
        for number, layer in enumerate(layers):
            if layer not in rows:  # a readout of slices has other symbols than a whole layer
                continue
            row = rows[layer]
            axes.plot([row.lower, row.upper], [number + offset] * 2, color=color, linewidth=4, solid_capstyle="butt")
            face = "white" if "saturated" in row.flags else color
            axes.plot(row.value, number + offset, marker=shape, color=color, markerfacecolor=face, markersize=6)
        axes.plot([], [], marker=shape, color=color, label=label)  # for the legend
        if quantity in table.limits:
            axes.axvline(table.limits[quantity], color=color, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(layers)), list(map(literal, cut_names(layers, 24))))
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(literal(f"{'information' if len(quantities) > 1 else quantities[0]} in {unit}"))
    limits = {
        table.limits[name]: limit_label(name, table.limits[name], unit) for name in quantities if name in table.limits
    }
    _label_limits(axes, _joined(limits, axes.get_xlim()[1]))
    axes.spines[["top", "right"]].set_visible(False)
    if ax is None:
        legend_outside(axes)
    return axes


def _joined(limits: Mapping[float, str], largest: float) -> dict[float, str]:
    """Join the names of limits that are so near to one another that their names would overlap."""
    joined: dict[float, list[str]] = {}
    place = -math.inf
    for limit in sorted(limits):
        if limit > place + _NEAR * largest:
            place = limit
        joined.setdefault(place, []).append(limits[limit])
    return {limit: ", ".join(names) for limit, names in joined.items()}


def _label_limits(axes: Axes, limits: Mapping[float, str]) -> None:
    """Write the names of limits above their lines, as labels of an axis, so that a title stands above the names."""
    top = axes.secondary_xaxis("top")
    top.set_xticks(list(limits), list(map(literal, limits.values())), fontsize="small", rotation=30, ha="left")
    top.tick_params(length=0)
    top.spines["top"].set_visible(False)
