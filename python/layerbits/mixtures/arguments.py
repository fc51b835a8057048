"""Checks of the arguments of mixtures, and conversion of results to the caller's type of array."""

from __future__ import annotations

import math
import sys
from typing import TypeVar

from torch import Tensor

from layerbits._base import Array
from layerbits.kernels import as_floats, as_number

Points = TypeVar("Points", bound=Array)

# Least total of weights: shares of it, and their products with log-sums of 1e-16, are normal numbers.
_LEAST = sys.float_info.min / sys.float_info.epsilon


def as_centers(centers: Array) -> Tensor:
    """Return centers as a tensor (n, d); raise TypeError or ValueError unless they are floats with n, d >= 1."""
    tensor = as_floats("centers", centers)
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"centers: got shape {tuple(tensor.shape)}, wanted (n, d) with n >= 1 and d >= 1")
    return tensor


def as_weights(weights: Array | None) -> Tensor | None:
    """Return weights as a tensor, or None for None.

    Raises
    ------
    TypeError, ValueError
        The weights are no floats, a weight or their total is infinite, or their total is positive and below `_LEAST`.
    """
    if weights is None:
        return None
    tensor = as_floats("weights", weights)
    total = as_number("weights", tensor.detach().sum())
    if 0 < total < _LEAST:
        raise ValueError(f"weights: got a total of {total:g}, wanted at least {_LEAST:.3g}; scale the weights up")
    if math.isinf(total):
        if tensor.isinf().any():
            raise ValueError("weights: got an infinite weight, wanted finite weights")
        raise ValueError("weights: got an infinite total, wanted a finite total; scale the weights down")
    return tensor


def as_type_of(array: Points, result: Tensor) -> Points:
    """Return a result as a tensor if `array` is a tensor, otherwise as a NumPy array or scalar."""
    return result if isinstance(array, Tensor) else result.numpy(force=True)[()]  # type: ignore[return-value]
