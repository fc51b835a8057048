"""The information of layers of low-bit networks without noise: distinct rows are counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from layerbits._base import Array
from layerbits.geometry.baseline_estimate import BaselineEstimate
from layerbits.geometry.binning import entropy_of_numbers, information_about_labels, numbers_of_rows
from layerbits.kernels import as_tensor


def discrete_information(activations: Array, *, labels: Array | None = None) -> BaselineEstimate:
    """Compute I(X;T) = H(T) and, with labels, I(T;Y) of a layer without noise, for X uniform over its rows, in nats.

    Rows are equal if all their values are. In a network without noise T is a function of X, so I(X;T) = H(T) exactly,
    and it is log n while all n rows differ, whatever the layer does: only rows that become equal lower it. In networks
    of few bits, such as integers of 4 or 8 bits, narrow layers make rows equal; wide layers hardly do. A note says if
    all rows differ. These are values for the given rows: estimates for other inputs are biased, because more inputs
    show more values of T.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        Integers, booleans or finite floats; n >= 1. Of a quantized tensor, pass ``.int_repr()``. Floats are compared
        as they are; -0.0 equals 0.0.
    labels : array-like of shape (n,), optional
        Classes Y.

    Returns
    -------
    BaselineEstimate
        ``"I(X;T)"`` in nats, between 0 and log n, and I(T;Y), between 0 and H(Y).

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, shape or value than wanted; the message names the argument.

    Notes
    -----
    Source: Lorenzen, Igel and Nielsen, Information Bottleneck: Exact Analysis of (Quantized) Neural Networks (ICLR
    2022).

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> rows = np.array([[0, 1], [0, 1], [3, 1], [2, 2]], dtype=np.int8)
    >>> estimate = lb.discrete_information(rows, labels=[0, 0, 0, 1])
    >>> estimate.quantity, round(estimate.bits.value, 6), round(estimate.bits.label_information, 6)
    ('I(X;T)', 1.5, 0.811278)
    """
    rows = _as_values(activations)
    numbers = numbers_of_rows(rows)
    n, n_distinct = len(numbers), int(numbers.max()) + 1
    value = entropy_of_numbers(numbers)
    note = f"{n_distinct} of {n} rows are distinct"
    if n_distinct == n:
        note = f"all {n} rows are distinct, so I(X;T) is log n = {math.log(n):.4f} nats, whatever the layer does"
    label_information = information_about_labels(numbers, value, labels)
    return BaselineEstimate("I(X;T)", "distinct rows", value, label_information, note=note)


def _as_values(activations: object) -> npt.NDArray[Any]:
    """Return rows (n, d) whose bytes are equal if their values are."""
    if isinstance(activations, Tensor) and activations.is_quantized:
        raise TypeError("activations: got a quantized tensor, wanted a plain one; pass .int_repr()")
    values = _as_array(as_tensor("activations", activations).detach())
    if values.dtype.kind not in "biuf":
        raise TypeError(f"activations: got dtype {values.dtype}, wanted integers, booleans or floats")
    if values.ndim != 2 or values.size == 0:
        raise ValueError(
            f"activations: got shape {values.shape}, wanted (n, d) with n >= 1 and d >= 1; use .flatten(1) on feature "
            "maps"
        )
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ValueError("activations: got NaN or infinity, wanted finite numbers")
        values = values + np.zeros((), values.dtype)  # -0.0 becomes 0.0
    return values


def _as_array(tensor: Tensor) -> npt.NDArray[Any]:
    # NumPy has no bfloat16 and no floats of 8 bits; float32 has all their values.
    is_small = tensor.is_floating_point() and tensor.element_size() < 4
    return (tensor.float() if is_small else tensor).numpy(force=True)
