"""Points of a layer, and distances between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from layerbits._base import Array, Doubles, check_positive, check_type
from layerbits.geometry import DistanceHistogram
from layerbits.kernels import as_tensor
from layerbits.plots.figures import class_colors, legend_names
from layerbits.plots.given_axes import given_axes
from layerbits.statistics import class_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mpl_toolkits.mplot3d import Axes3D  # type: ignore[import-untyped]

_MOST_NAMES = 14  # largest number of names in a legend beside the points


def distances(histogram: DistanceHistogram, ax: Axes | None = None) -> Axes:
    """Plot the shares of pairs by distance, within classes and between classes.

    Parameters
    ----------
    histogram : DistanceHistogram
        The result of `layerbits.pairwise_distance_histogram`.
    ax : matplotlib Axes, optional
        The axes to plot on; by default those of a new pyplot figure.

    Returns
    -------
    matplotlib Axes
        The axes. Kinds of pairs that do not occur are not plotted.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    TypeError, ValueError
        `histogram` or `ax` has a wrong type, or `ax` is not two-dimensional.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> histogram = lb.pairwise_distance_histogram(np.array([[0.0], [1.0], [3.0]]), np.array([0, 0, 1]), bins=3)
    >>> lb.plots.distances(histogram).get_ylabel()
    'share of the pairs'
    """
    check_type("histogram", histogram, DistanceHistogram, wanted="the DistanceHistogram of pairwise_distance_histogram")
    axes = given_axes(ax)
    counts = {"within classes": histogram.within, "between classes": histogram.between}
    for (label, pairs), color in zip(counts.items(), class_colors(2), strict=True):
        if pairs.any():
            axes.stairs(pairs / pairs.sum(), histogram.edges, fill=True, color=color, alpha=0.5, label=label)
    axes.set_xlabel("cosine distance" if histogram.metric == "cosine" else "distance")
    axes.set_ylabel("share of the pairs")
    axes.spines[["top", "right"]].set_visible(False)
    if histogram.between.any():
        axes.legend(frameon=False)
    return axes


def scatter(points: Array, labels: Array | None = None, *, limit: float | None = None, ax: Axes | None = None) -> Axes:
    """Plot points in two or three dimensions, coloured by their classes.

    Parameters
    ----------
    points : tensor or array of shape (n, 2) or (n, 3)
        Activations.
    labels : array-like of shape (n,), optional
        Classes: integers, booleans, whole floats or strings; the legend shows them.
    limit : float, optional
        The axes end at -limit and limit; by default they fit the points. In three dimensions, points beyond the box of
        the axes, where noise puts some, are plotted too.
    ax : matplotlib Axes, optional
        The axes to plot on, with ``projection="3d"`` for three dimensions; by default those of a new pyplot figure with
        a legend of the classes.

    Returns
    -------
    matplotlib Axes
        The axes.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    TypeError, ValueError
        `points` is no tensor or array of finite numbers, `points` or `labels` have another shape, or `ax` has another
        number of dimensions than the points.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> lb.plots.scatter(np.eye(3), np.array([0, 1, 1])).name
    '3d'
    """
    tensor = as_tensor("points", points)
    if tensor.is_complex():
        raise TypeError(f"points: got dtype {tensor.dtype}, wanted real numbers")
    rows: Doubles = tensor.double().numpy(force=True)
    if limit is not None:
        limit = check_positive("limit", limit)
    if rows.ndim != 2 or rows.shape[1] not in (2, 3):
        raise ValueError(f"points: got shape {rows.shape}, wanted (n, 2) or (n, 3); choose two or three units")
    if not np.isfinite(rows).all():
        raise ValueError("points: got NaN or infinity, wanted finite numbers")
    is_3d = rows.shape[1] == 3
    axes = given_axes(ax, projection="3d" if is_3d else None)
    given = np.zeros(len(rows), np.int64) if labels is None else class_labels(labels, len(rows))
    names, classes = np.unique(given, return_inverse=True)
    colors = np.asarray(class_colors(len(names)))[classes]
    style: dict[str, Any] = {"c": colors, "s": min(20, max(3, 4000 / max(len(rows), 1))), "alpha": 0.7, "linewidths": 0}
    axes.scatter(*rows.T, **style | ({"depthshade": False} if is_3d else {}))  # the shade hides the colors of classes
    if ax is None:
        axes.set(**{f"{axis}label": f"unit {number}" for number, axis in enumerate("xyz"[: rows.shape[1]], 1)})
        if labels is not None:
            _add_class_legend(axes, names)
    if is_3d:
        axes.tick_params(labelsize="small" if ax is None else "xx-small", pad=-4)
        axes.locator_params(nbins=3)
        cast("Axes3D", axes).set_box_aspect(None, zoom=0.9 if ax is None else 1.15)  # smaller if the axes have names
    if limit is not None:
        for axis in "xyz"[: rows.shape[1]]:
            axes.set(**{f"{axis}lim": (-limit, limit), f"{axis}ticks": (-limit, 0, limit)})
    return axes


def _add_class_legend(axes: Axes, classes: npt.NDArray[Any]) -> None:
    """Add a legend to the right of the points; it has some of many classes, at equal distances in their order."""
    shown = np.unique(np.linspace(0, len(classes) - 1, min(len(classes), _MOST_NAMES)).round().astype(int))
    colors = class_colors(len(classes))
    handles = [axes.plot([], [], "o", color=colors[index])[0] for index in shown]
    names = [f"{name:.12g}" if isinstance(name, np.floating) else str(name) for name in classes[shown]]
    title = "class" if len(shown) == len(classes) else f"{len(shown)} of {len(classes)} classes"
    place: dict[str, Any] = {"loc": "outside right center", "alignment": "left", "frameon": False}
    axes.figure.legend(handles, legend_names(names), title=title, **place)
