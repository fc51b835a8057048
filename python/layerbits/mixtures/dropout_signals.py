"""Signals with a noise that grows: T = m + alpha c E + sigma Z for each unit, E and Z standard normal.

A layer has m = c = s, and its signals are real. For a mean over tokens with independent noise, m is the mean of the
tokens, and c their root mean square. For a mean over the tokens that a mask keeps, c also depends on their number.
Such a signal is complex, m + i c: a pair that is indexed, copied and sent to a device as one value.
"""

from __future__ import annotations

from torch import Tensor


def means_of(signals: Tensor) -> Tensor:
    """Return the means m of the noisy values."""
    return signals.real.contiguous() if signals.is_complex() else signals


def scales_of(signals: Tensor) -> Tensor:
    """Return the scales c, which alpha multiplies."""
    return signals.imag.contiguous() if signals.is_complex() else signals
