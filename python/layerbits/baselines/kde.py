"""Entropy of a kernel density estimate whose bandwidth is chosen by cross-validation."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from layerbits._base import Array, check_count
from layerbits.baselines.rows import Doubles, as_rows, entropy_estimate
from layerbits.geometry import BaselineEstimate
from layerbits.kernels import stream
from layerbits.mixtures import mixture_log_density

# Bandwidths that are tried, in units of Scott's rule: far below it where rows lie in tight clusters.
_STEPS = 2.0 ** np.arange(-8, 2.25, 0.5)


def kde_entropy(activations: Array, *, labels: Array | None = None, folds: int = 5, seed: int = 0) -> BaselineEstimate:
    """Differential entropy h(T) in nats: minus the mean log density of held-out rows under the others' kernels.

    The kernel is an isotropic Gaussian; its bandwidth is that, of 21, at which held-out rows are likeliest. Before this
    choice the expectation is a cross-entropy, so too large; it stays so in high dimension, where no bandwidth serves.
    It has no meaning for a deterministic network on a finite data set, whose rows have no density: where many rows
    coincide the smallest bandwidth decides, and -inf is returned where all do.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n >= `folds`, in every class.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, for I(T;Y) = h(T) - h(T|Y).
    folds : int
        Parts of the rows, each held out once, at least 2.
    seed : int
        Seed of the parts.

    Returns
    -------
    BaselineEstimate
        Of ``"h(T)"``, in nats.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.

    Notes
    -----
    Sources: likelihood cross-validation, Silverman, Density Estimation (1986), section 3.4.4; bandwidths between 2^-8
    and 4 times Scott's n^(-1/(d + 4)) standard deviations.
    """
    rows, parts = as_rows("activations", activations), check_count("folds", folds, minimum=2)
    check_count("seed", seed, minimum=0)

    def entropy(some: Doubles) -> float:
        n, d = some.shape
        if n < parts:
            raise ValueError(f"folds: got {parts}, wanted at most the {n} rows of a class")
        deviation = math.sqrt(float(some.var(axis=0).mean()))
        if deviation == 0:
            return -math.inf
        fold = stream(seed, n).permutation(n) % parts
        return min(_cross_entropy(some, fold, step * deviation * n ** (-1 / (d + 4))) for step in _STEPS)

    return entropy_estimate(entropy, "h(T)", f"KDE, {parts}-fold cross-validation", rows, labels)


def _cross_entropy(rows: Doubles, fold: npt.NDArray[np.int64], bandwidth: float) -> float:
    held_out = [
        mixture_log_density(rows[fold == one], rows[fold != one], bandwidth) for one in range(int(fold.max()) + 1)
    ]
    return -float(np.concatenate(held_out).mean())
