"""Signals S at the corners of a cube, and the information of T = S + Z by quadrature.

The coordinates are independent bits, +1 with a given probability and otherwise -1. Z is normal noise.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import integrate

from layerbits._base import Doubles


def corners(dim: int) -> Doubles:
    """Return the corners of [-1, 1]^d, shape (2^d, d)."""
    signs: Doubles = np.where(np.arange(2**dim)[:, None] >> np.arange(dim) & 1, 1.0, -1.0)
    return signs


def corner_probabilities(dim: int, probability: float) -> Doubles:
    """Return the probability of each corner, shape (2^d,), for bits that are +1 with a given probability."""
    bits: Doubles = np.where(corners(dim) > 0, probability, 1 - probability)
    product: Doubles = bits.prod(1)
    return product


def corner_divergences(dim: int, probability: float, sigma: float) -> Doubles:
    """Compute D(p(t|s) || p(t)) in nats for each corner s by quadrature, shape (2^d,).

    The mean of the divergences, weighted by the probabilities of the corners, is I(S;T).
    """
    plus_divergence, minus_divergence = (_bit_divergence(value, sigma) for value in (probability, 1 - probability))
    bits: Doubles = np.where(corners(dim) > 0, plus_divergence, minus_divergence)
    total: Doubles = bits.sum(1)
    return total


def information(dim: int, probability: float, sigma: float) -> float:
    """Compute I(S;T) in nats."""
    return float(corner_probabilities(dim, probability) @ corner_divergences(dim, probability, sigma))


def log_density(points: Doubles, probability: float, sigma: float) -> Doubles:
    """Compute the log density of T at points of shape (m, d); returns shape (m,)."""
    exponents = np.stack([-((points - 1) ** 2), -((points + 1) ** 2)]) / (2 * sigma**2)
    log_probabilities = np.log([probability, 1 - probability])[:, None, None]
    bits = np.logaddexp.reduce(exponents + log_probabilities, axis=0) - math.log(math.sqrt(2 * math.pi) * sigma)
    total: Doubles = bits.sum(1)
    return total


@functools.cache
def _bit_divergence(probability: float, sigma: float) -> float:
    """Compute D(p(t|s) || p(t)) in nats for one bit, at a value s of this probability."""

    def integrand(z: float) -> float:
        opposite_term = math.log(1 - probability) - 2 * (1 + sigma * z) / sigma**2
        return (
            -math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * float(np.logaddexp(math.log(probability), opposite_term))
        )

    # The density is below 1e-31 beyond 12 standard deviations. The integrand bends near -1 / sigma.
    value, _ = integrate.quad(integrand, -12, 12, points=(max(-12.0, -1 / sigma),), limit=500, epsabs=1e-12)
    return float(value)
