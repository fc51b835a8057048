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

# Points of an axis that are computed together: 16 to 64 points take the least time for 1,000 to 10,000 centers.
_BLOCK = 32


def hidden_channel(
    means: Doubles, tau: float, signals: Signals, sigma: float, *, slope: float, kinks: Sequence[float] = ()
) -> Channel:
    """Return the channel T = signals(U) + Z with U normal of mean (n,) and deviation `tau`, given the input.

    `slope` is the largest |derivative| of `signals`, and `kinks` are the points where `signals` is not smooth. A panel
    of the quadrature has as many nodes as the grid has steps per sigma.
    """

    def channel(steps: int) -> tuple[Doubles, float]:
        nodes, weights = hidden_nodes(means, tau, sigma / slope, kinks, steps)
        probabilities = normal_density(nodes - means[:, None], tau) * weights
        centers = signals(nodes)
        step = sigma / steps
        axis = grid(centers, sigma, step)
        if centers.ndim == 1:
            return mixture_density(probabilities, centers, sigma, axis), step
        rows = zip(probabilities, centers, strict=True)
        return np.array([mixture_density(probability, center, sigma, axis) for probability, center in rows]), step

    return channel


def mixture_density(weights: Doubles, centers: Doubles, sigma: float | Doubles, axis: Doubles) -> Doubles:
    """Compute sum_k weights[..., k] N(t; c_k, sigma_k^2) at the points t of the axis, for centers (m,).

    The sum is taken over blocks of the axis, whose terms stay in the cache of the processor.
    """
    blocks = np.array_split(axis, math.ceil(len(axis) / _BLOCK))
    column = np.broadcast_to(sigma, centers.shape)[:, None]
    return np.concatenate([weights @ normal_density(block - centers[:, None], column) for block in blocks], axis=-1)


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
