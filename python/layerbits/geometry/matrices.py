"""Conversion and checks of arrays of shape (n, d)."""

from __future__ import annotations

import math

from torch import Tensor

from layerbits._base import Array
from layerbits.kernels import as_floats


def as_matrix(name: str, array: Array) -> Tensor:
    """Return a float32 or float64 tensor of shape (n, d) without its gradient; errors name the argument."""
    tensor = as_floats(name, array).detach()
    if tensor.ndim != 2:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted (n, d); use .flatten(1) on feature maps")
    return tensor


def as_finite_matrix(name: str, array: Array) -> Tensor:
    """Convert an array as `as_matrix` does; raise a ValueError if it is empty or has NaN or infinity."""
    tensor = as_matrix(name, array)
    if tensor.numel() == 0:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted (n, d) with n >= 1 and d >= 1")
    lower, upper = (float(end) for end in tensor.aminmax())  # NaN if any entry is
    if not -math.inf < lower <= upper < math.inf:
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    return tensor.contiguous()  # sums over values in another order in memory would differ by rounding
