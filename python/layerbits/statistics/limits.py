"""Upper limits of information that follow from the entropies of the input X and its class Y, in nats."""

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
    of_input = math.log(n_inputs) if weights is None else float(entr(weights / weights.sum()).sum())
    if classes is None:
        return {"I(X;T)": of_input}
    masses = np.bincount(classes, weights)
    of_class = float(entr(masses / masses.sum()).sum())
    return {"I(X;T)": of_input, "I(T;Y)": of_class, "I(X;T|Y)": max(0.0, of_input - of_class)}


def largest_terms(n_inputs: int, classes: Integers | None, weights: Doubles | None = None) -> dict[str, float]:
    """Compute the largest information that a single value of T can carry; parameters are those of `ceilings`.

    The largest term exceeds the ceiling where inputs or classes have different probabilities: -log of the smallest
    probability of an input, of a class, and of an input given its class.
    """
    masses = np.ones(n_inputs) if weights is None else weights
    if classes is None:
        return {"I(X;T)": _surprisal_of_rarest(masses, masses.sum())}
    class_masses = np.bincount(classes, masses).astype(np.float64)
    return {
        "I(X;T)": _surprisal_of_rarest(masses, masses.sum()),
        "I(T;Y)": _surprisal_of_rarest(class_masses, masses.sum()),
        "I(X;T|Y)": _surprisal_of_rarest(masses, class_masses[classes]),
    }


def _surprisal_of_rarest(masses: Doubles, totals: Doubles | float) -> float:
    possible = masses > 0
    return float(np.log(np.broadcast_to(totals, masses.shape)[possible] / masses[possible]).max())
