"""The root mean square of a signal, its unit in the last place, and whether two signals agree."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def root_mean_square(signal: Tensor) -> float:
    """Return the root of the mean square of the values of a tensor; NaN if it has none."""
    return float(_dense_values(signal).double().square().mean().sqrt())


def rounding_step(signal: Tensor) -> float:
    """Return the unit in the last place of the largest absolute value of a signal in float16 or bfloat16.

    The unit is 0 for wider dtypes and for signals without values, and infinite if a value is NaN or infinite.
    """
    return unit_in_last_place(signal) if torch.finfo(signal.dtype).bits <= 16 else 0.0


def unit_in_last_place(signal: Tensor) -> float:
    """Return the unit in the last place of the largest value of a signal; infinite if a value is NaN or infinite."""
    if not signal.numel():
        return 0.0
    largest = float(_dense_values(signal).abs().max())
    if not math.isfinite(largest):
        return math.inf
    # Normal numbers in [2^k, 2^(k+1)) are eps 2^k apart.
    return torch.finfo(signal.dtype).eps * 2.0 ** math.floor(math.log2(largest)) if largest else 0.0


def are_close(signals: Tensor, others: Tensor) -> bool:
    """Return whether signals agree up to the rounding of passes that use other kernels.

    Matrix products of other sizes round otherwise, and later layers may amplify that, so values agree within sqrt(eps)
    times the largest: half of the digits of the dtype.
    """
    if not signals.numel() or torch.equal(signals, others):  # without copies in float64
        return True
    left, right = signals.detach().double(), others.detach().double()
    largest = float(left.nan_to_num(0.0, 0.0, 0.0).abs().max())
    tolerance = math.sqrt(torch.finfo(signals.dtype).eps) * largest
    # NaN in the same places counts as equal, because the measurement refuses NaN by the name of the layer.
    return torch.allclose(left, right, rtol=0, atol=tolerance, equal_nan=True)


def _dense_values(signal: Tensor) -> Tensor:
    return signal if signal.layout == torch.strided else signal.to_dense()
