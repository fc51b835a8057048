"""Figures."""

from layerbits.plots.figures import (
    CLASS_COLORS,
    band,
    curve_panel,
    legend_outside,
    mark_epochs,
    new_figure,
    reference_line,
    require_matplotlib,
    scatter_panel,
    sequence_colors,
)

__all__ = [
    "CLASS_COLORS",
    "band",
    "curve_panel",
    "legend_outside",
    "mark_epochs",
    "new_figure",
    "reference_line",
    "require_matplotlib",
    "scatter_panel",
    "sequence_colors",
]
