"""I(T;Y) from an entropy estimator, as the entropy of all rows minus the mean entropy of the classes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from layerbits._base import Array, Doubles
from layerbits.geometry import BaselineEstimate, as_finite_matrix
from layerbits.statistics import class_numbers


def as_rows(name: str, array: Array) -> Doubles:
    """Return finite rows (n, d) as a float64 array on the host; errors name the argument."""
    rows: Doubles = as_finite_matrix(name, array).double().numpy(force=True)
    return rows


def estimate_from_entropy(
    entropy: Callable[[Doubles], float], quantity: str, estimator: str, rows: Doubles, labels: Array | None
) -> BaselineEstimate:
    """Apply an entropy to all rows and, with labels, to each class: I(T;Y) = h(T) - sum_y p(y) h(T|y)."""
    value = entropy(rows)
    if labels is None:
        return BaselineEstimate(quantity, estimator, value)
    classes = class_numbers(labels, len(rows))
    frequencies = (np.bincount(classes) / len(rows)).tolist()
    conditional = math.fsum(frequency * entropy(rows[classes == label]) for label, frequency in enumerate(frequencies))
    return BaselineEstimate(quantity, estimator, value, value - conditional)
