"""The plug-in and its rivals on samples of T = S + Z, as one table of functions, and their curves against n."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from layerbits import plots
from layerbits.baselines import kde_entropy, kozachenko_leonenko_entropy
from layerbits.geometry import binned_entropy
from layerbits.mixtures import mixture_entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Floats = npt.NDArray[np.float64]

PLUG_IN, NEIGHBOURS, KDE, BINNING = "plug-in", "Kozachenko-Leonenko", "KDE", "binning"


class Value(NamedTuple):
    """An estimate of h(T) in nats; the error and the ends are of the integration of a plug-in, NaN for rivals."""

    value: float
    standard_error: float
    lower: float
    upper: float


class Settings(NamedTuple):
    """Of the estimators: half width of the plug-in's interval, the k of the neighbour, folds, and width of a bin."""

    tolerance: float
    neighbours: int
    folds: int
    bin_size: float


def estimate(name: str, signals: _Floats, noise: _Floats, sigma: float, settings: Settings, *, seed: int) -> Value:
    """Estimate h(S + Z): the plug-in knows `signals` and the law of the noise, its rivals their sum; both (n, d)."""
    if name == PLUG_IN:
        found = mixture_entropy(signals, sigma, tolerance=settings.tolerance, seed=seed)
        return Value(found.value, found.standard_error, found.lower, found.upper)
    return Value(_RIVALS[name](signals + noise, settings, seed), math.nan, math.nan, math.nan)


def expected_draws(tolerance: float, *, at_hundredth: float) -> float:
    """Return about how many draws a plug-in takes that takes `at_hundredth` for a half width of 0.01 nats."""
    # Between the first two batches of `mixture_entropy` and its limit.
    return min(max(at_hundredth * (0.01 / tolerance) ** 2, 10_240), 2**22)


def _binning(points: _Floats, settings: Settings, _: int) -> float:
    """Return the entropy of the histogram as a density: log b for each dimension of a bin more than H(Bin(T))."""
    dim: int = points.shape[1]
    return binned_entropy(points, settings.bin_size) + dim * math.log(settings.bin_size)


_RIVALS: Mapping[str, Callable[[_Floats, Settings, int], float]] = {
    NEIGHBOURS: lambda points, s, _: kozachenko_leonenko_entropy(points, neighbours=s.neighbours).value,
    KDE: lambda points, s, seed: kde_entropy(points, folds=s.folds, seed=seed).value,
    BINNING: _binning,
}
ESTIMATORS = (PLUG_IN, *_RIVALS)
COLORS = dict(zip(ESTIMATORS, ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), strict=True))  # of Okabe and Ito


def draw_entropies(axes: Axes, points: Sequence[Any], *, truth: tuple[float, float]) -> None:
    """Draw mean estimates against n, over the range of the values, or of their intervals where there are.

    `truth` is an interval, which may be a point. `points` are rows of a table with columns estimator, samples, value,
    lower and upper. The panel shows what lies as near to the truth as the plug-in does.
    """
    for name in dict.fromkeys(point.estimator for point in points):
        curve: dict[int, list[Any]] = {}
        for point in points:
            if point.estimator == name:
                curve.setdefault(point.samples, []).append(point)
        value = [float(np.mean([p.value for p in some])) for some in curve.values()]
        lower = [min(float(np.fmin(p.lower, p.value)) for p in some) for some in curve.values()]
        upper = [max(float(np.fmax(p.upper, p.value)) for p in some) for some in curve.values()]
        plots.band(axes, list(curve), lower, value, upper, color=COLORS[name], label=name)
    if truth[0] < truth[1]:
        axes.axhspan(*truth, color="black", alpha=0.2, linewidth=0, label="truth, 95 % interval")
    else:
        axes.axhline(truth[0], color="black", linestyle="--", linewidth=1, label="truth")
    middle = sum(truth) / 2
    reach = 1.2 * max([abs(p.value - middle) for p in points if p.estimator == PLUG_IN], default=1.0)
    axes.set_ylim(middle - reach, middle + reach)
    plots.curve_panel(axes, ylabel="h(T) in nats")
