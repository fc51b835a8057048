"""Parts of figures: panels, bands, lines, legends and colours in the style of all figures of layerbits."""

from layerbits.plots.figures import (
    CLASS_COLORS,
    Color,
    CurveStyle,
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
    "Color",
    "CurveStyle",
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
