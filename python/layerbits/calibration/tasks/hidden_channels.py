"""Densities p(t|x) where the signal is a function of one hidden normal variable, which may also depend on the input.

The hidden integral is composite Gauss-Legendre quadrature, with panels that end at the kinks of the function.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from layerbits._base import Doubles
from layerbits.calibration.tasks.channels import REACH, Channel, grid, normal_density

# Maps hidden values (m,) to signals (m,), or to signals (n, m) if the signal also depends on the input.
Signals = Callable[[Doubles], Doubles]


def hidden_channel(
    means: Doubles, tau: float, signals: Signals, sigma: float, *, slope: float, kinks: Sequence[float] = ()
) -> Channel:
    """Return the channel T = signals(U) + Z with U normal of mean (n,) and deviation `tau`, given the input.

    `slope` is the largest |derivative| of `signals`, and `kinks` are the points where `signals` is not smooth. The
    channel takes a panel to have as many nodes as a grid has steps per sigma.
    """

    def channel(steps: int) -> tuple[Doubles, float]:
        nodes, weights = hidden_nodes(means, tau, sigma / slope, kinks, steps)
        probabilities = normal_density(nodes - means[:, None], tau) * weights
        centers = signals(nodes)
        step = sigma / steps
        axis = grid(centers, sigma, step)
        if centers.ndim == 1:
            return probabilities @ normal_density(axis - centers[:, None], sigma), step
        rows = [
            probability @ normal_density(axis - center[:, None], sigma)
            for probability, center in zip(probabilities, centers, strict=True)
        ]
        return np.array(rows), step

    return channel


def hidden_nodes(
    means: Doubles, tau: float, scale: float, kinks: Sequence[float], order: int
) -> tuple[Doubles, Doubles]:
    """Return nodes and weights of the Gauss-Legendre rule with `order` nodes in panels of at most `tau` and `scale`."""
    lower, upper = means.min() - REACH * tau, means.max() + REACH * tau
    ends = [lower, *sorted(kink for kink in kinks if lower < kink < upper), upper]
    edges = [np.linspace(a, b, math.ceil((b - a) / min(tau, scale)) + 1) for a, b in itertools.pairwise(ends)]
    panels = np.concatenate([np.stack([pieces[:-1], pieces[1:]], axis=1) for pieces in edges])
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(panels, axis=1) / 2
    return (panels[:, :1] + half * (1 + nodes)).ravel(), (half * weights).ravel()
