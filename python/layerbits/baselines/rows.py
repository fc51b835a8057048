"""What the baselines share: rows in float64, and I(T;Y) as what an entropy loses within classes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from layerbits._base import Array
from layerbits.geometry import BaselineEstimate
from layerbits.kernels import as_floats
from layerbits.statistics import class_numbers

Doubles = npt.NDArray[np.float64]


def as_rows(name: str, array: Array) -> Doubles:
    """Return finite rows (n, d) in float64; TypeError or ValueError that names the argument."""
    tensor = as_floats(name, array).detach()
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted (n, d) with n >= 1 and d >= 1")
    if not tensor.isfinite().all():
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    rows: Doubles = tensor.double().numpy(force=True)
    return rows


def entropy_estimate(
    entropy: Callable[[Doubles], float], quantity: str, estimator: str, rows: Doubles, labels: Array | None
) -> BaselineEstimate:
    """Apply an entropy to the rows, and with labels to those of each class: I(T;Y) = h(T) - sum_y p(y) h(T|y)."""
    value = entropy(rows)
    if labels is None:
        return BaselineEstimate(quantity, estimator, value)
    classes = class_numbers(labels, len(rows))
    shares = np.bincount(classes) / len(rows)
    within = math.fsum(share * entropy(rows[classes == one]) for one, share in enumerate(shares.tolist()))
    return BaselineEstimate(quantity, estimator, value, value - within)
