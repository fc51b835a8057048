"""Classes of the inputs: how labels become numbers, and what the entropies of X and Y allow."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import entr

from layerbits._base import Array, Integers
from layerbits.kernels import as_tensor


def class_numbers(labels: Array, n_inputs: int) -> Integers:
    """Return labels as class numbers 0, 1, ... of shape (n_inputs,); TypeError or ValueError that names them."""
    given = as_tensor("labels", labels)
    if given.is_floating_point() or given.is_complex():
        raise TypeError(f"labels: got dtype {given.dtype}, wanted integers")
    if given.shape != (n_inputs,):
        raise ValueError(f"labels: got shape {tuple(given.shape)}, wanted ({n_inputs},), one for each input")
    numbers: Integers = np.unique(given.numpy(force=True), return_inverse=True)[1]
    return numbers


def ceilings(n_inputs: int, classes: Integers | None) -> dict[str, float]:
    """Return what the entropies of X and Y allow of I(X;T) and, with classes, I(T;Y) and I(X;T|Y), in nats."""
    most = math.log(n_inputs)
    if classes is None:
        return {"I(X;T)": most}
    by_class = float(entr(np.bincount(classes) / n_inputs).sum())
    return {"I(X;T)": most, "I(T;Y)": by_class, "I(X;T|Y)": max(0.0, most - by_class)}


def largest_terms(n_inputs: int, classes: Integers | None) -> dict[str, float]:
    """Return what a single value of T can tell at the most, in nats: more than `ceilings`, for it may be rare."""
    sizes = np.array([n_inputs]) if classes is None else np.bincount(classes)
    return {
        "I(X;T)": math.log(n_inputs),
        "I(T;Y)": math.log(n_inputs / sizes.min()),
        "I(X;T|Y)": math.log(sizes.max()),
    }
