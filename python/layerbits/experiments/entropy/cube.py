"""Signals at the corners of the cube: independent bits, +1 with a given probability, whose information is known."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
from scipy import integrate

_Floats = npt.NDArray[np.float64]


def corners(dim: int) -> _Floats:
    """Return the corners of [-1, 1]^d, shape (2^d, d)."""
    signs: _Floats = np.where(np.arange(2**dim)[:, None] >> np.arange(dim) & 1, 1.0, -1.0)
    return signs


def law(dim: int, probability: float) -> _Floats:
    """Return the probability of each corner, shape (2^d,)."""
    shares: _Floats = np.where(corners(dim) > 0, probability, 1 - probability)
    product: _Floats = shares.prod(1)
    return product


def surprise(dim: int, probability: float, sigma: float) -> _Floats:
    """Return the divergence of T = S + Z given the corner S from T, in nats, of each corner, by quadrature: (2^d,).

    Their mean under `law` is I(S;T).
    """
    of_plus, of_minus = (_bit_surprise(share, sigma) for share in (probability, 1 - probability))
    bits: _Floats = np.where(corners(dim) > 0, of_plus, of_minus)
    total: _Floats = bits.sum(1)
    return total


def information(dim: int, probability: float, sigma: float) -> float:
    """Return I(S;T) in nats."""
    return float(law(dim, probability) @ surprise(dim, probability, sigma))


def log_density(points: _Floats, probability: float, sigma: float) -> _Floats:
    """Return the log density of T at points of shape (m, d), shape (m,)."""
    terms = np.stack([-((points - 1) ** 2), -((points + 1) ** 2)]) / (2 * sigma**2)
    shares = np.log([probability, 1 - probability])[:, None, None]
    bits = np.logaddexp.reduce(terms + shares, axis=0) - math.log(math.sqrt(2 * math.pi) * sigma)
    total: _Floats = bits.sum(1)
    return total


@functools.cache
def _bit_surprise(share: float, sigma: float) -> float:
    """Return the divergence of a bit whose value has the probability `share`."""

    def integrand(z: float) -> float:
        other = math.log(1 - share) - 2 * (1 + sigma * z) / sigma**2
        return -math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * float(np.logaddexp(math.log(share), other))

    # Beyond 12 standard deviations the density is below 1e-31. Around -1 / sigma, if within, the integrand bends.
    value, _ = integrate.quad(integrand, -12, 12, points=(max(-12.0, -1 / sigma),), limit=500, epsabs=1e-12)
    return float(value)
