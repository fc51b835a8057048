"""Class numbers from labels."""

from __future__ import annotations

import numpy as np

from layerbits._base import Array, Integers
from layerbits.kernels import as_tensor


def class_numbers(labels: Array, n_inputs: int) -> Integers:
    """Return labels as class numbers 0, 1, ... without gaps.

    Parameters
    ----------
    labels : integer tensor or array of shape (n_inputs,)
    n_inputs : int
        Number of inputs.

    Returns
    -------
    array of shape (n_inputs,)

    Raises
    ------
    TypeError, ValueError
        `labels` has another type, dtype or shape.
    """
    tensor = as_tensor("labels", labels)
    if tensor.is_floating_point() or tensor.is_complex():
        raise TypeError(f"labels: got dtype {tensor.dtype}, wanted integers")
    if tensor.shape != (n_inputs,):
        raise ValueError(f"labels: got shape {tuple(tensor.shape)}, wanted ({n_inputs},), one label for each input")
    numbers: Integers = np.unique(tensor.numpy(force=True), return_inverse=True)[1]
    return numbers
