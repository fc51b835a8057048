"""Densities p(t|x) on grids, for channels whose output lies on a line or in a plane."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from layerbits._base import Doubles, check_number, check_positive, check_vector

# Half width of a grid in sigmas: a normal density has less than 1e-32 of its probability beyond 12 sigma.
REACH = 12

# Maps a number of grid steps per sigma to the densities p(t|x), shape (inputs, points), and the volume of a grid cell.
Channel = Callable[[int], tuple[Doubles, float]]


class TanhUnit(NamedTuple):
    """A tanh layer whose signals lie on a line: the map t -> scale tanh(gain t + bias)."""

    gain: float
    bias: float = 0.0
    scale: float = 1.0

    def __call__(self, t: Doubles) -> Doubles:
        """Return the signals of the points `t`."""
        return self.scale * np.tanh(self.gain * t + self.bias)


def line_channel(centers: Sequence[float] | Doubles, sigma: float) -> Channel:
    """Return the channel T = S + Z for centers (n,) on the line.

    The channel is a function of the number of grid steps per sigma, and returns the densities p(t|x) on the grid, shape
    (n, points), and the step.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type or value.

    Examples
    --------
    >>> import layerbits as lb
    >>> channel = lb.calibration.line_channel([-1.0, 1.0], sigma=0.5)
    >>> densities, step = channel(8)
    >>> (densities.sum(axis=1) * step).round(9).tolist()
    [1.0, 1.0]
    """
    column, sigma = check_vector("centers", centers)[:, None], check_positive("sigma", sigma)

    def channel(steps: int) -> tuple[Doubles, float]:
        axis = grid(column, sigma, sigma / steps)
        return normal_density(axis - column, sigma), sigma / steps

    return channel


def plane_channel(centers: Doubles, sigma: float) -> Channel:
    """Return the channel T = S + Z for centers (n, 2) in the plane."""

    def channel(steps: int) -> tuple[Doubles, float]:
        step = sigma / steps
        x_density, y_density = (
            normal_density(grid(column, sigma, step) - column[:, None], sigma) for column in centers.T
        )
        return np.einsum("ki,kj->kij", x_density, y_density).reshape(len(centers), -1), step**2

    return channel


def tanh_chain_channel(inputs: Doubles, units: Sequence[TanhUnit], sigma: float) -> Channel:
    """Return the channel from inputs (n,) through a chain of tanh units, each followed by noise."""

    def channel(steps: int) -> tuple[Doubles, float]:
        signals, density = units[0](inputs), None
        for next_unit in units[1:]:
            # The integrand over a hidden layer is a product of normal densities, so half as many steps suffice.
            step = 2 * sigma / steps / max(1, abs(next_unit.scale * next_unit.gain))
            axis = grid(signals, sigma, step)
            density = _propagate(density, axis - signals[:, None], sigma) * step
            signals = next_unit(axis)
        step = sigma / steps
        axis = grid(signals, sigma, step)
        return _propagate(density, axis - signals[:, None], sigma), step

    return channel


def leaky_relu_channel(signals: Doubles, weight: float, bias: float, slope: float, sigma: float) -> Channel:
    """Return the channel T = max(U, slope U) + Z with U = weight (s + Z') + bias, for signals s (n,), 0 <= slope <= 1.

    On either side of the kink U and T are jointly normal. So p(t|s) is the sum over the two sides of
    N(t; a m, sigma^2 + a^2 tau^2) P(U on that side | t), where a is the slope on that side and m and tau are the mean
    and the standard deviation of U; no hidden integral is needed. The channel is called as that of `line_channel`.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type or value.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> channel = lb.calibration.leaky_relu_channel(np.array([-1.0, 1.0]), weight=2.0, bias=0.0, slope=0.1, sigma=0.3)
    >>> densities, step = channel(8)
    >>> (densities.sum(axis=1) * step).round(6).tolist()
    [1.0, 1.0]
    """
    signals, sigma = check_vector("signals", signals), check_positive("sigma", sigma)
    weight, bias, slope = check_number("weight", weight), check_number("bias", bias), check_number("slope", slope)
    if not 0 <= slope <= 1:
        raise ValueError(f"slope: got {slope}, wanted a number from 0 to 1")
    mean = weight * signals[:, None] + bias
    tau = max(abs(weight) * sigma, np.finfo(float).tiny)

    def channel(steps: int) -> tuple[Doubles, float]:
        step = sigma / steps
        axis = grid(np.maximum(mean, slope * mean), math.hypot(sigma, tau), step)
        summands = []
        for sign, side_slope in ((1, 1.0), (-1, slope)):
            variance = sigma**2 + (side_slope * tau) ** 2
            posterior_mean = mean + side_slope * tau**2 / variance * (axis - side_slope * mean)
            with np.errstate(over="ignore"):  # at weight 0, U is constant and infinitely many deviations from 0
                probability = ndtr(sign * posterior_mean / (tau * sigma / math.sqrt(variance)))
            summands.append(normal_density(axis - side_slope * mean, math.sqrt(variance)) * probability)
        return summands[0] + summands[1], step

    return channel


def _propagate(density: Doubles | None, distances: Doubles, sigma: float) -> Doubles:
    """Return densities of signals plus noise from the distances (signals, points) of signals and grid points.

    `density` (inputs, signals) has the weights of the signals; None if there is one signal for each input.
    """
    kernel = normal_density(distances, sigma)
    return kernel if density is None else density @ kernel


def grid(signals: Doubles, sigma: float, step: float) -> Doubles:
    """Return an even grid that reaches 12 sigma beyond all signals."""
    lower, upper = signals.min() - REACH * sigma, signals.max() + REACH * sigma
    axis: Doubles = lower + step * np.arange(math.ceil((upper - lower) / step) + 1)
    return axis


def normal_density(distance: Doubles, sigma: float | Doubles) -> Doubles:
    """Return N(distance; 0, sigma^2)."""
    density: Doubles = np.exp(-((distance / sigma) ** 2) / 2) / (math.sqrt(2 * math.pi) * sigma)
    return density
