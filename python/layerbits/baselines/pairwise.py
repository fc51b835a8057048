"""Bounds from pairwise distances, for noise that exists only in the measurement."""

from __future__ import annotations

import math

import numpy as np

from layerbits._base import Array, check_positive
from layerbits.baselines.rows import Doubles, as_rows
from layerbits.geometry import BaselineEstimate
from layerbits.mixtures import mixture_entropy_bounds, noise_entropy
from layerbits.statistics import class_numbers


def pairwise_bounds(
    activations: Array, *, sigma: float, labels: Array | None = None
) -> tuple[BaselineEstimate, BaselineEstimate]:
    """Lower and upper bound in nats of I(T; T + Z) for T uniform over the rows and Z ~ N(0, sigma^2 I).

    Of a deterministic network this is I(X; T + Z): the noise is the measurement's, and the value depends on its choice
    as that of binning does on the bin. Both bounds are sure for the mixture of the rows; they lie far apart where
    clusters overlap, and say nothing of other inputs.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n >= 1.
    sigma : float
        Standard deviation of the noise. Saxe et al. used variances of 1e-3 and 0.1.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, for bounds of I(T + Z; Y), between 0 and H(Y). (Saxe et al. subtract upper bounds from each other,
        which bounds nothing.)

    Returns
    -------
    (lower, upper)
        Two BaselineEstimate of ``"I(T;T+Z)"``, in nats.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.

    Notes
    -----
    Sources: Kolchinsky and Tracey, Estimating Mixture Entropy with Pairwise Distances (2017); Saxe et al., On the
    Information Bottleneck Theory of Deep Learning (ICLR 2018).
    """
    rows, width = as_rows("activations", activations), check_positive("sigma", sigma)
    low, high = _information_bounds(rows, width)
    at_least = at_most = None
    if labels is not None:
        classes = class_numbers(labels, len(rows))
        shares = np.bincount(classes) / len(rows)
        within = np.array([_information_bounds(rows[classes == one], width) for one in range(len(shares))])
        ceiling = float(-(shares * np.log(shares)).sum())
        at_least = min(max(low - float(shares @ within[:, 1]), 0.0), ceiling)
        at_most = min(max(high - float(shares @ within[:, 0]), 0.0), ceiling)
    estimator = f"pairwise distances, {{}} bound, sigma = {width:g}"
    return (
        BaselineEstimate("I(T;T+Z)", estimator.format("lower"), low, at_least),
        BaselineEstimate("I(T;T+Z)", estimator.format("upper"), high, at_most),
    )


def _information_bounds(rows: Doubles, sigma: float) -> tuple[float, float]:
    noise = noise_entropy(rows.shape[1], sigma)
    low, high = (float(bound) - noise for bound in mixture_entropy_bounds(rows, sigma))
    return max(low, 0.0), min(high, math.log(len(rows)))
