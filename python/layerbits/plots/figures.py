"""Parts of figures in one style: panels, bands, lines, legends, and colours that colour-blind readers can tell apart.

`new_figure` makes figures on matplotlib's Agg canvas without pyplot, because pyplot has global state. Functions import
matplotlib themselves, because it is an optional dependency.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from layerbits._base import Doubles, require_package

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter

# Okabe and Ito, Color Universal Design (2008). Three of their colours have a contrast below 3:1 to white; on white,
# indigo and wine of Tol, Colour Schemes (2021), and a violet replace these three.
_SHARED_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_CLASS_COLORS = (*_SHARED_COLORS, "#000000", "#332288", "#882255", "#9944FF")
_CLASS_COLORS_ON_DARK = (*_SHARED_COLORS, "#ffffff", "#E69F00", "#56B4E9", "#F0E442")
CLASS_COLORS = _CLASS_COLORS[:2]
_MARKERS = "osD^vP*X<>pdhH"
_LINESTYLES = ("-", "--", "-.", ":")
_GREY = "#666666"
# Pairs of the largest number of decades of an axis and the first digits of its labelled ticks.
_LABELLED = ((0.4, range(1, 10)), (1.0, (1, 2, 3, 4, 6)), (2.0, (1, 2, 5)), (math.inf, (1,)))
_MOST_BESIDE = 14  # largest number of names in a legend beside a panel
_FAR = 100.0  # a much larger number would overflow the coordinates of Agg, which have 24 bits for pixels
_ROUNDING = 1e-9  # relative errors of the positions of ticks

Color = str | tuple[float, float, float, float]
_Curve = Sequence[float] | Doubles


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurveStyle:
    """Colour and label of a curve; width in points, style and markers of its line. The names are matplotlib's."""

    color: Color
    label: str
    linewidth: float = 1.5
    linestyle: str = "-"
    marker: str = ""


def require_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises
    ------
    UsageError
        matplotlib is missing.
    """
    require_package("matplotlib", extra="plots", purpose="figures")


def new_figure(*, width: float, height: float) -> Figure:
    """Return an empty figure.

    Parameters
    ----------
    width, height : float
        Size in inches.

    Raises
    ------
    UsageError
        matplotlib is missing.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def sequence_colors(count: int, *, dark: bool = False) -> list[tuple[float, float, float, float]]:
    """Return `count` colours for an ordered series, from light to dark; with `dark`, for a dark background.

    The contrast of each colour to the background, white or the dark page of a report, is at least 3:1, the limit of
    WCAG 2.2 for graphics.
    """
    from matplotlib import colormaps

    return [colormaps["viridis"](position) for position in np.linspace(*((1.0, 0.4) if dark else (0.6, 0.0)), count)]


def class_colors(count: int, *, dark: bool = False) -> list[Color]:
    """Return `count` colours for classes: up to 8 that colour-blind readers can tell apart, else a sequence.

    With `dark`, for a dark background. The contrast of each colour to the background is at least 3:1.
    """
    if count > len(_CLASS_COLORS):
        return list(sequence_colors(count, dark=dark))
    return list((_CLASS_COLORS_ON_DARK if dark else _CLASS_COLORS)[:count])


def curve_panel(axes: Axes, *, ylabel: str, xlabel: str = "") -> None:
    """Format `axes` for curves over a logarithmic x axis."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(plain_numbers())
    axes.xaxis.set_minor_formatter(plain_numbers())
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.margins(x=0.01)
    axes.set_axisbelow(True)


def plain_numbers(*, whole: bool = False) -> Formatter:
    """Return a formatter for a logarithmic axis without powers of ten, which overlap on an axis of about one decade.

    An axis of up to two decades has labels at 2 and 5 in each decade, a shorter axis has more labels. With `whole`,
    only whole numbers have a label.
    """
    from matplotlib.ticker import Formatter

    class PlainNumbers(Formatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            assert self.axis is not None
            lower, upper = np.log10(self.axis.get_view_interval())
            digits = next(digits for decades, digits in _LABELLED if upper - lower <= decades)
            exponent = math.floor(math.log10(x) + _ROUNDING)
            is_labelled = round(x / 10.0**exponent) in digits and not (whole and abs(x - round(x)) > _ROUNDING * x)
            return f"{x:g}" if is_labelled else ""

    return PlainNumbers()


def label_epochs(axis: Axis) -> None:
    """Label an axis of epochs, linear or logarithmic, by whole numbers."""
    from matplotlib.ticker import MaxNLocator

    if axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # of a single epoch too
    else:
        axis.set_major_formatter(plain_numbers(whole=True))
        axis.set_minor_formatter(plain_numbers(whole=True))


def marker(number: int) -> str:
    """Return a marker: a shape, or the number, counted from 1, after the last shape."""
    return _MARKERS[number] if number < len(_MARKERS) else f"${number + 1}$"


def curve_styles(labels: Sequence[str]) -> list[CurveStyle]:
    """Return styles of an ordered series of curves; curves that coincide are told apart by dashes and markers.

    The labels are cut and spelled by `legend_names`.
    """
    return [
        CurveStyle(
            color=color,
            label=label,
            linestyle=_LINESTYLES[number % len(_LINESTYLES)],
            marker=marker(number),
        )
        for number, (label, color) in enumerate(zip(legend_names(labels), sequence_colors(len(labels)), strict=True))
    ]


def band(axes: Axes, x: _Curve, curves: Iterable[_Curve], style: CurveStyle) -> None:
    """Plot a curve of values over the band between the ends of their intervals.

    `curves` are the lower ends, the values and the upper ends at the positions x, each of shape (n,). At a single
    position the band is a vertical line. At an infinite end the band reaches the edge of the panel.
    """
    lower, value, upper = (np.asarray(curve, dtype=np.float64) for curve in curves)
    data_limits = axes.dataLim.frozen()
    far_lower, far_upper = far_ends([lower, upper])
    axes.fill_between(x, far_lower, far_upper, color=style.color, alpha=0.3, linewidth=3 if len(x) == 1 else 0)
    axes.dataLim.set(data_limits)  # far ends do not lengthen the axis
    axes.update_datalim(np.concatenate([np.column_stack([x, end]) for end in (lower, upper)]))  # of finite ends alone
    axes.plot(x, value, markersize=4, **dataclasses.asdict(style))


def far_ends(ends: Sequence[Doubles]) -> list[Doubles]:
    """Replace infinite ends by numbers far beyond all finite ends, since matplotlib plots no infinite numbers."""
    far = _FAR * max(1.0, *(np.abs(end[np.isfinite(end)]).max(initial=0.0) for end in ends))
    return [np.where(np.isinf(end), np.copysign(far, end), end) for end in ends]


def reference_line(axes: Axes, value: float, label: str) -> None:
    """Plot a dashed horizontal line at `value`, with its label above its right end."""
    axes.axhline(value, color=_GREY, linestyle="--", linewidth=1)
    axes.annotate(
        label, (1, value), xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
        ha="right", color=_GREY, fontsize="small",
    )  # fmt: skip


def mark_epochs(axes: Axes, epochs: Sequence[int]) -> None:
    """Plot a dotted vertical line at each epoch."""
    for epoch in epochs:
        axes.axvline(epoch, color=_GREY, linestyle=":", linewidth=1)


def legend_outside(axes: Axes, title: str | None = None) -> None:
    """Place the legend of `axes` to the right of the panel, unless no curve has a label."""
    if axes.get_legend_handles_labels()[1]:
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axes.legend(title=title, frameon=False, alignment="left", **place)


def legend_below(axes: Axes) -> None:
    """Place the legend of the only panel of a figure below the panel, in two columns; the figure becomes higher."""
    handles, labels = axes.get_legend_handles_labels()
    figure = cast("Figure", axes.figure)
    figure.set_figheight(figure.get_figheight() + 0.22 * math.ceil(len(labels) / 2))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": 2, "fontsize": "small"}
    figure.legend(handles, labels, frameon=False, **place)


def legend_of_layers(axes: Axes) -> None:
    """Place the legend of the only panel of a figure beside the panel, or a legend of many names below the panel."""
    is_long = len(axes.get_legend_handles_labels()[1]) > _MOST_BESIDE
    (legend_below if is_long else legend_outside)(axes)


def literal(text: str) -> str:
    """Return text that matplotlib shows as it is: text between dollars would be typeset as mathematics."""
    return text.replace("$", r"\$")


def legend_names(names: Sequence[str]) -> list[str]:
    """Return cut names as literal text, with a space of no width before an underscore, which legends leave out."""
    return [literal(f"\u200b{name}" if name.startswith("_") else name) for name in cut_names(names, 32)]


def cut_name(name: str, most: int = 40) -> str:
    """Return a name, or its beginning and its end around an ellipsis if it has more than `most` characters."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[len(name) - (most - most // 2 - 1) :]}"


def cut_names(names: Sequence[str], most: int = 40) -> list[str]:
    """Return names of at most `most` characters, which are equal only where the given names are equal.

    If cuts in the middle make different names equal, the cuts leave out the beginning that the long names share; if
    different names are then still equal, no name is cut.
    """
    long_names = [name for name in names if len(name) > most]
    ends = zip(min(long_names, default=""), max(long_names, default=""), strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], ends))
    start = max(0, shared - most // 4)

    def cut_start(name: str) -> str:
        rest = f"…{name[start:]}"
        return rest if len(rest) <= most else f"{rest[: most - 1]}…"

    for cut in (lambda name: cut_name(name, most), cut_start):
        shorter = [name if len(name) <= most else cut(name) for name in names]
        if len(set(shorter)) == len(set(names)):
            return shorter
    return list(names)
