"""The information plane: I(X;T) against I(T;Y), with the intervals of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from layerbits._base import InformationHistory, InformationRow
from layerbits.plots.figures import far_ends, label_epochs, legend_below, legend_names, literal, marker, sequence_colors
from layerbits.plots.given_axes import check_history, checked_names, checked_unit, given_axes, layers_with
from layerbits.plots.over_epochs import limit_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

_GREY = "#999999"
_FEW_LAYERS, _SHORT_NAME = 6, 16  # of a legend in the axes


def information_plane(
    history: InformationHistory,
    *,
    quantities: Sequence[str] = ("I(X;T)", "I(T;Y)"),
    layers: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot I(X;T) against I(T;Y): a path through the epochs for each layer, with a rectangle for both intervals.

    Parameters
    ----------
    history : InformationHistory
        The measured epochs, from `Monitor.history` or `read_history`; measured with labels.
    quantities : (str, str)
        The symbols of the information on the two axes, such as ``("I(X;T)", "I(T;digit)")`` for one of several label
        sets.
    layers : sequence of str, optional
        The layers to plot; all by default.
    ax : matplotlib Axes, optional
        The axes to plot on, to which ``ax.legend()`` adds a legend; by default those of a new pyplot figure with one.

    Returns
    -------
    matplotlib Axes
        The axes. Colours show the epochs, markers the layers. A saturated I(X;T) has a hollow marker. Dashed lines show
        log N and H(Y), if the history has them, and a dotted line I(T;Y) = I(X;T), above which no layer can be.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    TypeError, ValueError
        An argument has a wrong type, or the history is empty, lacks one of `layers`, or lacks a quantity, such as
        I(T;Y) without labels.

    Notes
    -----
    The plane is that of Tishby and Zaslavsky, Deep Learning and the Information Bottleneck Principle (2015). With
    intervals, a fall of I(X;T) can be told from an error of the estimate.

    Examples
    --------
    >>> import layerbits as lb
    >>> rows = [
    ...     lb.InformationRow("fc1", quantity, "draws", 0.5, 0.1, 0.4, 0.6, "nats", 32, 0.5)
    ...     for quantity in ("I(X;T)", "I(T;Y)")
    ... ]
    >>> table = lb.InformationTable(tuple(rows), {"I(X;T)": 2.0, "I(T;Y)": 0.7})
    >>> ax = lb.plots.information_plane(lb.InformationHistory({1: table, 10: table}, 0.95, False))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('I(X;T) in nats', 'I(T;Y) in nats')
    """
    check_history(history)
    known = dict.fromkeys(row.quantity for _, row in history.rows)
    if isinstance(quantities, tuple) and quantities == ("I(X;T)", "I(T;Y)") and known and "I(T;Y)" not in known:
        choices = " or ".join(str(("I(X;T)", name)) for name in known if name.startswith("I(T;"))
        wanted = f"wanted quantities={choices}" if choices else "wanted a history with it; measure with labels="
        raise ValueError(f"quantities: got 'I(T;Y)', {wanted}")
    quantities = checked_names("quantities", quantities, known)
    if len(quantities) != 2:
        raise ValueError(f"quantities: got {len(quantities)}, wanted two, one for each axis")
    layers = checked_names("layers", layers, layers_with(history, quantities))
    unit = checked_unit("history", (row.unit for _, row in history.rows))
    axes, colors = given_axes(ax), _epoch_colors(history.epochs)
    for number, (layer, name) in enumerate(zip(layers, legend_names(layers), strict=True)):
        pairs = {
            epoch: [table[layer, quantity] for quantity in quantities]
            for epoch, table in history.tables.items()
            if all((layer, quantity) in table for quantity in quantities)
        }
        _plot_path(axes, name, pairs, colors, marker(number))
    axes.set_xlabel(literal(f"{quantities[0]} in {unit}"))
    axes.set_ylabel(literal(f"{quantities[1]} in {unit}"))
    axes.axline((0, 0), slope=1, color=_GREY, linestyle=":", linewidth=1)
    for quantity, plot_line, position in zip(quantities, (axes.axvline, axes.axhline), ("x", "y"), strict=True):
        if quantity in history.limits:
            limit = history.limits[quantity]
            plot_line(limit, color=_GREY, linestyle="--", linewidth=1)
            _label_limit(axes, position, limit, literal(limit_label(quantity, limit, unit)))
    axes.spines[["top", "right"]].set_visible(False)
    if len(history) > 1:
        label_epochs(axes.figure.colorbar(colors, ax=axes, label="epoch").ax.yaxis)
    if ax is None:
        if len(layers) > _FEW_LAYERS or max(map(len, layers)) > _SHORT_NAME:
            legend_below(axes)
        else:
            axes.legend(loc="best", frameon=False)
    return axes


def _epoch_colors(epochs: Sequence[int]) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    ends = epochs[0], max(epochs[-1], epochs[0] + 1)
    return ScalarMappable((LogNorm if epochs[0] > 0 else Normalize)(*ends), ListedColormap(sequence_colors(256)))


def _plot_path(
    axes: Axes,
    layer: str,
    pairs: dict[int, list[InformationRow]],
    colors: ScalarMappable,
    marker: str,
) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    epoch_colors = colors.to_rgba(np.array(list(pairs)))
    points = np.array([[x.value, y.value] for x, y in pairs.values()]).reshape(-1, 2)
    corners = np.array([[x.lower, y.lower, x.upper, y.upper] for x, y in pairs.values()]).reshape(-1, 4)
    left, bottom, right, top = far_ends(list(corners.T))
    sides = zip(left, bottom, right - left, top - bottom, strict=True)
    rectangles = [Rectangle((x, y), width, height) for x, y, width, height in sides]
    patches = PatchCollection(rectangles, facecolors=epoch_colors, alpha=0.3, linewidths=0)
    axes.add_collection(patches, autolim=False)  # far ends do not lengthen the axes
    axes.update_datalim(np.where(np.isinf(corners), np.tile(points, 2), corners).reshape(-1, 2))
    axes.plot(*points.T, color=_GREY, linewidth=0.8)
    saturated = np.array(["saturated" in x.flags for x, _ in pairs.values()], bool)
    faces = np.where(saturated[:, None], [[1.0, 1.0, 1.0, 1.0]], epoch_colors)
    x, y = points.T
    axes.scatter(x, y, marker=marker, s=28, facecolors=faces, edgecolors=list(map(tuple, epoch_colors)), zorder=3)
    axes.plot([], [], marker=marker, linestyle="", color=_GREY, label=layer)  # for the legend


def _label_limit(axes: Axes, axis: str, limit: float, label: str) -> None:
    """Write the name of a limit beside its line, at the beginning of the axes."""
    position, coordinates = (
        ((limit, 0), ("data", "axes fraction")) if axis == "x" else ((0, limit), ("axes fraction", "data"))
    )
    axes.annotate(
        label, position, xycoords=coordinates, xytext=(-3 if axis == "x" else 3, 3), textcoords="offset points",
        ha="right" if axis == "x" else "left", va="bottom", color="#666666", fontsize="small",
    )  # fmt: skip
