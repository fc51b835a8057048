"""Truth by quadrature: information and entropies of a channel whose density p(t|x) can be written down or integrated.

The trapezoidal rule on an even grid: for the smooth, decaying integrands here its error falls exponentially in
1 / step. Everything is worked out on two grids, the second twice as fine, and the difference is given as the error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from layerbits.calibration.tasks.task import Floats, Integers, Truth, Truths
from layerbits.mixtures import noise_entropy

# Beyond 12 sigma a normal density has less than 1e-32 of its mass.
_REACH = 12
# Steps in a sigma. Two densities g sigmas apart give log p(t) a singularity pi/g off the axis, where p is exp(-g^2/8):
# the error exp(-g^2/8 - 2 pi^2 steps/g) is below 1e-11 at 8 steps, whatever g.
_COARSE, _FINE = 8, 16
_ROUNDING = 1e-12

# Densities p(t|x), shape (inputs, points), on a grid of so many steps in a sigma, and the volume of one of its cells.
Channel = Callable[[int], tuple[Floats, float]]


class Unit(NamedTuple):
    """A tanh layer seen along one line: t -> scale tanh(gain t + bias)."""

    gain: float
    bias: float = 0.0
    scale: float = 1.0

    def __call__(self, t: Floats) -> Floats:
        """Return the signals of the points `t`."""
        return self.scale * np.tanh(self.gain * t + self.bias)


def on_line(centers: Sequence[float] | Floats, sigma: float) -> Channel:
    """Return the channel T = S + Z of centers (n,) on the line."""
    where = np.asarray(centers, float)

    def channel(steps: int) -> tuple[Floats, float]:
        axis = _axis(where, sigma, sigma / steps)
        return _normal(axis - where[:, None], sigma), sigma / steps

    return channel


def in_plane(centers: Floats, sigma: float) -> Channel:
    """Return the channel T = S + Z of centers (n, 2) in the plane."""

    def channel(steps: int) -> tuple[Floats, float]:
        step = sigma / steps
        first, second = (_normal(_axis(part, sigma, step) - part[:, None], sigma) for part in centers.T)
        return np.einsum("ki,kj->kij", first, second).reshape(len(centers), -1), step**2

    return channel


def through_units(values: Floats, units: Sequence[Unit], sigma: float) -> Channel:
    """Return the channel from inputs (n,) through one unit after the other, each with noise: p(t|x) grid by grid."""

    def channel(steps: int) -> tuple[Floats, float]:
        signals, density = units[0](values), None
        for after in (*units[1:], None):
            # Nothing but products of normal densities is integrated over a hidden layer: half the steps are enough.
            step = sigma / steps if after is None else 2 * sigma / steps / max(1, abs(after.scale * after.gain))
            axis = _axis(signals, sigma, step)
            onto = _normal(axis - signals[:, None], sigma)
            density = onto if density is None else density @ onto
            if after is not None:
                density, signals = density * step, after(axis)
        assert density is not None
        return density, step

    return channel


def through_leaky_relu(signals: Floats, weight: float, bias: float, slope: float, sigma: float) -> Channel:
    """Return the channel T = max(U, slope U) + Z with U = weight (s + Z') + bias of signals s (n,), 0 <= slope <= 1.

    On either side of the kink U and T are jointly normal, so p(t|s) is the sum over the sides of N(t; a m, sigma^2 +
    a^2 tau^2) P(U on that side | t), with a the slope there, m and tau mean and deviation of U: no hidden integral.
    """
    mean, tau = weight * signals[:, None] + bias, max(abs(weight) * sigma, np.finfo(float).tiny)

    def channel(steps: int) -> tuple[Floats, float]:
        step = sigma / steps
        axis = _axis(np.maximum(mean, slope * mean), math.hypot(sigma, tau), step)
        sides = []
        for side, a in ((1, 1.0), (-1, slope)):
            variance = sigma**2 + (a * tau) ** 2
            posterior = mean + a * tau**2 / variance * (axis - a * mean)
            with np.errstate(over="ignore"):  # without weight U is known, and infinitely many deviations from 0
                share = ndtr(side * posterior / (tau * sigma / math.sqrt(variance)))
            sides.append(_normal(axis - a * mean, math.sqrt(variance)) * share)
        return sides[0] + sides[1], step

    return channel


def truths_of(channel: Channel, *, weights: Floats | None = None, labels: Integers | None = None) -> Truths:
    """Work out what is known of a channel: I(X;T), h(T), h(T|X), and with labels I(T;Y) and I(X;T|Y)."""
    coarse, fine = (_quantities(*channel(steps), weights, labels) for steps in (_COARSE, _FINE))
    return {
        name: Truth(value, abs(value - coarse[name][0]) + _ROUNDING, spread, "quadrature")
        for name, (value, spread) in fine.items()
    }


def independent(truths: Truths, copies: int) -> Truths:
    """Return the truths of so many independent copies of a channel, taken as one."""
    return {
        name: Truth(copies * truth.value, copies * truth.error, math.sqrt(copies) * truth.spread, truth.source)
        for name, truth in truths.items()
    }


def stretched(truths: Truths, log_volume: float) -> Truths:
    """Return the truths of a channel whose output is mapped linearly, volumes growing by a factor."""
    return {
        name: truth if name.startswith("I") else dataclasses.replace(truth, value=truth.value + log_volume)
        for name, truth in truths.items()
    }


def among_noise(truths: Truths, dim: int, sigma: float) -> Truths:
    """Return the truths of a channel to which `dim` dimensions of nothing but noise are added."""
    return stretched(truths, noise_entropy(dim, sigma))


def told_apart(inputs: int, gap: float) -> Truths:
    """Return the truths, `among_noise` to be, of equally likely signals that lie `gap` sigmas apart or more.

    With L the sum of the likelihood ratios of the others, log n - I = E log(1 + L) <= E L^(1/2), and each ratio adds
    its Bhattacharyya coefficient exp(-gap^2/8) at most.
    """
    ceiling = Truth(math.log(inputs), (inputs - 1) * math.exp(-(gap**2) / 8) + _ROUNDING, 0.0, "limit")
    return {
        "I(X;T)": ceiling,
        "h(T)": dataclasses.replace(ceiling, spread=math.nan),
        "h(T|X)": Truth(0.0, _ROUNDING, math.nan, "closed form"),
    }


def _quantities(
    densities: Floats, cell: float, weights: Floats | None, labels: Integers | None
) -> dict[str, tuple[float, float]]:
    """Return value and spread of each quantity."""
    mass = np.full(len(densities), 1 / len(densities)) if weights is None else weights / weights.sum()
    given, pooled = _log(densities), _log(mass @ densities)
    terms = {"I(X;T)": given - pooled, "h(T)": -pooled, "h(T|X)": -given}
    if labels is not None:
        same = mass * (labels == labels[:, None])
        of_class = _log(same / same.sum(1, keepdims=True) @ densities)
        terms |= {"I(T;Y)": of_class - pooled, "I(X;T|Y)": given - of_class}
    found = {}
    for name, term in terms.items():
        means = (densities * term).sum(1) * cell
        value = float(mass @ means)
        if name.startswith("I"):
            variances = (densities * (term - means[:, None]) ** 2).sum(1) * cell
            found[name] = max(value, 0.0), math.sqrt(mass @ variances)
        else:
            found[name] = value, math.nan
    return found


def _log(density: Floats) -> Floats:
    # Of a density that underflows nothing is left after it is multiplied by itself.
    logarithm: Floats = np.log(np.maximum(density, np.finfo(float).tiny))
    return logarithm


def _axis(signals: Floats, sigma: float, step: float) -> Floats:
    low, high = signals.min() - _REACH * sigma, signals.max() + _REACH * sigma
    axis: Floats = low + step * np.arange(math.ceil((high - low) / step) + 1)
    return axis


def _normal(distance: Floats, sigma: float) -> Floats:
    density: Floats = np.exp(-((distance / sigma) ** 2) / 2) / (math.sqrt(2 * math.pi) * sigma)
    return density
