"""Exponentials that may overflow."""

from __future__ import annotations

import math

import numpy as np

_LOG_LARGEST = math.log(np.finfo(np.float64).max)


def exp(exponent: float) -> float:
    """Compute the exponential; infinity if it overflows."""
    return math.exp(exponent) if exponent <= _LOG_LARGEST else math.inf


def log1p_exp(exponent: float) -> float:
    """Compute log(1 + e^exponent) without overflow."""
    return float(np.logaddexp(0.0, exponent))
