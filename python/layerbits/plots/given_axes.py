"""Arguments that all plots share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from layerbits._base import InformationHistory, check_type
from layerbits.plots.figures import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def given_axes(ax: Axes | None, *, projection: str | None = None, height: float = 4.0) -> Axes:
    """Return `ax`, or the axes of a new pyplot figure, so that notebooks show it.

    Raises
    ------
    UsageError
        matplotlib is missing.
    TypeError, ValueError
        `ax` has another type or projection.
    """
    require_matplotlib()
    from matplotlib.axes import Axes

    if ax is None:
        from matplotlib import pyplot

        return pyplot.figure(figsize=(6.4, height), layout="constrained").add_subplot(projection=projection)
    if not isinstance(ax, Axes):
        raise TypeError(f"ax: got {type(ax).__name__}, wanted matplotlib Axes, such as those of plt.subplots()")
    wanted = projection or "rectilinear"
    if ax.name != wanted:
        raise ValueError(
            f"ax: got {ax.name} axes, wanted {wanted} ones, such as plt.figure().add_subplot(projection={wanted!r})"
        )
    return ax


def checked_names(argument: str, names: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names, all known ones by default; raise an error if one is unknown or none is left."""
    known = tuple(known)
    if not known:
        raise ValueError(f"{argument}: got a result with none, wanted some to plot; measure an epoch or a layer")
    names = (names,) if isinstance(names, str) else names
    if names is not None and not (isinstance(names, Sequence) and all(isinstance(name, str) for name in names)):
        raise TypeError(f"{argument}: got {type(names).__name__}, wanted text, or a sequence of texts")
    names = known if names is None else tuple(names)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        got = ", ".join(map(repr, unknown)) or "none"
        raise ValueError(f"{argument}: got {got}, wanted some of {', '.join(map(repr, known))}")
    return names


def checked_name(argument: str, name: str, known: Iterable[str]) -> str:
    """Return the name; raise a TypeError or ValueError if it is no text or not known."""
    check_type(argument, name, str, wanted="one name, a text")
    return checked_names(argument, name, known)[0]


def checked_unit(argument: str, units: Iterable[str]) -> str:
    """Return the unit of all rows; raise an error if they differ."""
    unit, *others = dict.fromkeys(units)
    if others:
        raise ValueError(f"{argument}: got rows in {unit} and in {others[0]}, wanted one unit; plot {argument}.bits")
    return unit


def check_history(history: object) -> None:
    """Raise a TypeError or ValueError unless `history` is an InformationHistory with an epoch."""
    check_type("history", history, InformationHistory, wanted="an InformationHistory, such as Monitor.history")
    if not history:
        raise ValueError("history: got no epochs, wanted one at least; measure an epoch first")


def layers_with(history: InformationHistory, quantities: Collection[str]) -> list[str]:
    """Return the layers with all these quantities: a readout of slices has other symbols than a whole layer."""
    pairs = {(row.layer, row.quantity) for _, row in history.rows}
    return [layer for layer in history.layers if pairs.issuperset((layer, quantity) for quantity in quantities)]
