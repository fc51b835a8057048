"""Upper limits of information and of its terms, from the probabilities of the input X and its class Y, in nats."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import entr

from layerbits._base import Doubles, Integers


def ceilings(n_inputs: int, classes: Integers | None, weights: Doubles | None = None) -> dict[str, float]:
    """Compute the largest possible value of each information.

    Parameters
    ----------
    n_inputs : int
        Number of values of X.
    classes : array of shape (n_inputs,) or None
        Class numbers Y.
    weights : array of shape (n_inputs,), optional
        Weights of the values, of any positive total; equal by default.

    Returns
    -------
    dict
        H(X) for ``"I(X;T)"`` and, with classes, H(Y) for ``"I(T;Y)"`` and H(X|Y) for ``"I(X;T|Y)"``.
    """
    input_entropy = math.log(n_inputs) if weights is None else float(entr(weights / weights.sum()).sum())
    if classes is None:
        return {"I(X;T)": input_entropy}
    class_weights = np.bincount(classes, weights)
    class_entropy = float(entr(class_weights / class_weights.sum()).sum())
    return {"I(X;T)": input_entropy, "I(T;Y)": class_entropy, "I(X;T|Y)": max(0.0, input_entropy - class_entropy)}


def largest_terms(n_inputs: int, classes: Integers | None, weights: Doubles | None = None) -> dict[str, float]:
    """Compute the largest information that a single value of T can carry; parameters are those of `ceilings`.

    The largest term is -log of the smallest positive probability of an input, of a class, or of an input given its
    class. It exceeds the ceiling if these probabilities differ.
    """
    weights = np.ones(n_inputs) if weights is None else weights
    if classes is None:
        return {"I(X;T)": _largest_log_ratio(weights.sum(), weights)}
    class_weights = np.bincount(classes, weights).astype(np.float64)
    return {
        "I(X;T)": _largest_log_ratio(weights.sum(), weights),
        "I(T;Y)": _largest_log_ratio(weights.sum(), class_weights),
        "I(X;T|Y)": _largest_log_ratio(class_weights[classes], weights),
    }


def _largest_log_ratio(totals: Doubles | float, weights: Doubles) -> float:
    """Return the largest log(total / weight) over the positive weights; the ratio may overflow."""
    is_positive = weights > 0
    return float((np.log(np.broadcast_to(totals, weights.shape)[is_positive]) - np.log(weights[is_positive])).max())
