"""Estimators of h(T), T = S + Z, from samples: the plug-in, and three estimators that use the noisy values alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from layerbits import plots
from layerbits._base import Doubles
from layerbits.baselines import kde_entropy, kozachenko_leonenko_entropy
from layerbits.geometry import binned_entropy
from layerbits.mixtures import mixture_entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLUG_IN, NEIGHBOURS, KDE, BINNING = "plug-in", "Kozachenko-Leonenko", "KDE", "binning"

_LEAST_QUERIES, _MOST_QUERIES = 10_240, 2**22  # of the first two passes of `mixture_entropy`, and its limit


class NoisySample(NamedTuple):
    """A sample of T = S + Z."""

    signals: Doubles  # S, shape (n, d)
    noise: Doubles  # Z / sigma, standard normal, shape (n, d)
    sigma: float


class EntropyEstimate(NamedTuple):
    """An estimate of h(T) in nats.

    Standard error and ends are those of the numerical integration of a plug-in; they are NaN for other estimators.
    """

    value: float
    standard_error: float
    lower: float
    upper: float


class EstimatorSettings(NamedTuple):
    """Settings of the estimators."""

    tolerance: float  # half width of the interval of a plug-in, in nats
    neighbours: int  # k of the nearest neighbour
    folds: int  # for the cross-validated bandwidth of a KDE
    bin_size: float


def estimate_entropy(name: str, sample: NoisySample, settings: EstimatorSettings, *, seed: int) -> EntropyEstimate:
    """Estimate h(T): the plug-in from the signals and sigma, the other estimators from the noisy values S + Z."""
    if name == PLUG_IN:
        estimate = mixture_entropy(sample.signals, sample.sigma, tolerance=settings.tolerance, seed=seed)
        return EntropyEstimate(estimate.value, estimate.standard_error, estimate.lower, estimate.upper)
    points = sample.signals + sample.sigma * sample.noise
    return EntropyEstimate(_ESTIMATORS[name](points, settings, seed), math.nan, math.nan, math.nan)


def expected_queries(tolerance: float, *, at_hundredth: float) -> float:
    """Estimate the number of queries of a plug-in that takes `at_hundredth` queries for a half width of 0.01 nats."""
    return min(max(at_hundredth * (0.01 / tolerance) ** 2, _LEAST_QUERIES), _MOST_QUERIES)


def _neighbours(points: Doubles, settings: EstimatorSettings, _: int) -> float:
    return kozachenko_leonenko_entropy(points, neighbours=settings.neighbours).value


def _kde(points: Doubles, settings: EstimatorSettings, seed: int) -> float:
    return kde_entropy(points, folds=settings.folds, seed=seed).value


def _binning(points: Doubles, settings: EstimatorSettings, _: int) -> float:
    """Compute the entropy of the histogram as a density: H(Bin(T)) plus the log of the volume of a bin."""
    dim: int = points.shape[1]
    return binned_entropy(points, settings.bin_size) + dim * math.log(settings.bin_size)


_ESTIMATORS: Mapping[str, Callable[[Doubles, EstimatorSettings, int], float]] = {
    NEIGHBOURS: _neighbours,
    KDE: _kde,
    BINNING: _binning,
}
ESTIMATORS = (PLUG_IN, *_ESTIMATORS)
COLORS = dict(zip(ESTIMATORS, plots.class_colors(len(ESTIMATORS)), strict=True))


def plot_entropies(axes: Axes, rows: Sequence[Any], *, lower: float, upper: float) -> None:
    """Plot mean estimates against n, over bands from the smallest value or lower end to the largest value or upper end.

    The y axis reaches 1.2 times as far from the true value as the plug-in's worst estimate.

    Parameters
    ----------
    axes : Axes
        The panel.
    rows : sequence of NamedTuple
        Estimates, with the fields estimator, samples, value, lower and upper.
    lower, upper : float
        Interval for the true value; equal where it is known.
    """
    for name in dict.fromkeys(row.estimator for row in rows):
        curve: dict[int, list[Any]] = {}
        for row in rows:
            if row.estimator == name:
                curve.setdefault(row.samples, []).append(row)
        means = [float(np.mean([row.value for row in repeats])) for repeats in curve.values()]
        lower_edges = [min(float(np.fmin(row.lower, row.value)) for row in repeats) for repeats in curve.values()]
        upper_edges = [max(float(np.fmax(row.upper, row.value)) for row in repeats) for repeats in curve.values()]
        plots.band(
            axes, list(curve), (lower_edges, means, upper_edges), plots.CurveStyle(color=COLORS[name], label=name)
        )
    if lower < upper:
        axes.axhspan(lower, upper, color="black", alpha=0.2, linewidth=0, label="true value, 95 % interval")
    else:
        axes.axhline(lower, color="black", linestyle="--", linewidth=1, label="true value")
    middle = (lower + upper) / 2
    reach = 1.2 * max([abs(row.value - middle) for row in rows if row.estimator == PLUG_IN], default=1.0)
    axes.set_ylim(middle - reach, middle + reach)
    plots.curve_panel(axes, ylabel="h(T) in nats")
