"""Plots of results, and the parts of figures in the style of layerbits.

`curves`, `distances`, `information_plane`, `intervals`, `scatter` and `sigma_profile` plot a result on given axes and
return the axes; the other names are parts of figures.
"""

from layerbits.plots.by_layer import intervals
from layerbits.plots.figures import (
    CLASS_COLORS,
    Color,
    CurveStyle,
    band,
    class_colors,
    curve_panel,
    cut_name,
    cut_names,
    legend_outside,
    mark_epochs,
    marker,
    new_figure,
    reference_line,
    require_matplotlib,
    sequence_colors,
)
from layerbits.plots.geometry import distances, scatter
from layerbits.plots.over_epochs import curves, limit_label
from layerbits.plots.over_sigma import sigma_profile
from layerbits.plots.plane import information_plane

__all__ = [
    "CLASS_COLORS",
    "Color",
    "CurveStyle",
    "band",
    "class_colors",
    "curve_panel",
    "curves",
    "cut_name",
    "cut_names",
    "distances",
    "information_plane",
    "intervals",
    "legend_outside",
    "limit_label",
    "mark_epochs",
    "marker",
    "new_figure",
    "reference_line",
    "require_matplotlib",
    "scatter",
    "sequence_colors",
    "sigma_profile",
]
