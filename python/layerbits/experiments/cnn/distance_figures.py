"""Figures of the distributions of distances within and between classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerbits import plots
from layerbits.experiments.cnn.representations import Distances
from layerbits.experiments.framework.run_folder import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HIDDEN_SHARE = 1e-3  # largest share of the pairs beyond each end of the axis of a panel
_KIND_COLORS = dict(zip(("within", "between"), plots.CLASS_COLORS, strict=True))


def plot_distances(
    layers: Sequence[str], distances: Sequence[Distances], columns: Sequence[tuple[str, int]], figure_path: Path
) -> None:
    """Plot the distributions of the distances: a row of panels for each layer, a column for each variant and epoch."""
    figure = plots.new_figure(width=1.5 + 3 * len(columns), height=2.3 * len(layers))
    panels = figure.subplots(len(layers), len(columns), squeeze=False, sharex="row", sharey="row")
    for layer, row_panels in zip(layers, panels, strict=True):
        layer_bins = [bin_ for bin_ in distances if bin_.layer == layer and (bin_.variant, bin_.epoch) in columns]
        for axes, column in zip(row_panels, columns, strict=True):
            _plot_histograms(axes, [bin_ for bin_ in layer_bins if (bin_.variant, bin_.epoch) == column])
            axes.set_xlabel(f"distance at {layer}")
        row_panels[0].set_xlim(_limits(layer_bins))
    for axes, (variant, epoch) in zip(panels[0], columns, strict=True):
        axes.set_title(f"{variant}, epoch {epoch}", fontsize="medium")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    save_figure(figure, figure_path)


def _plot_histograms(axes: Axes, bins: Sequence[Distances]) -> None:
    for kind, color in _KIND_COLORS.items():
        kind_bins = [bin_ for bin_ in bins if bin_.kind == kind]
        edges = sorted({edge for bin_ in kind_bins for edge in (bin_.lower, bin_.upper)})
        centers, counts = [(bin_.lower + bin_.upper) / 2 for bin_ in kind_bins], [bin_.pairs for bin_ in kind_bins]
        label = f"{kind} classes"
        axes.hist(
            centers, edges, weights=counts, density=True, histtype="stepfilled", color=color, alpha=0.5, label=label
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_yticks([])


def _limits(bins: Sequence[Distances]) -> tuple[float, float]:
    """Return two distances; at most `_HIDDEN_SHARE` of the pairs lie below the first, and above the second."""
    lower, upper, pairs = (np.array([getattr(bin_, name) for bin_ in bins]) for name in ("lower", "upper", "pairs"))
    order = np.argsort(lower)
    share = np.cumsum(pairs[order]) / pairs.sum()
    lower_index, upper_index = np.searchsorted(share, (_HIDDEN_SHARE, 1 - _HIDDEN_SHARE))
    return float(lower[order][lower_index]), float(upper[order][min(upper_index, len(share) - 1)])
