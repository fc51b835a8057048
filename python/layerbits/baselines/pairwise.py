"""Bounds on I(T;T+Z) from pairwise distances, for noise that exists only in the measurement."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from layerbits._base import Array, Doubles, check_positive
from layerbits.baselines.label_information import as_rows
from layerbits.geometry import BaselineEstimate
from layerbits.mixtures import mixture_entropy_bounds, noise_entropy
from layerbits.statistics import Interval, class_numbers

_LARGEST_RATIO = 1e150  # ratio of activations to sigma; its squares are finite


def pairwise_bounds(
    activations: Array, *, sigma: float, labels: Array | None = None
) -> tuple[BaselineEstimate, BaselineEstimate]:
    """Bound I(T;T+Z), in nats, from below and above, for T uniform over the rows and Z ~ N(0, sigma^2 I).

    For a deterministic network this is I(X;T+Z). The noise belongs to the measurement, and the value depends on sigma
    as a binned entropy depends on the size of the bins. Both bounds hold with probability 1 for the mixture of these
    rows, and not for further inputs; the bounds lie far apart if clusters overlap.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n >= 1.
    sigma : float
        Standard deviation of the noise. Saxe et al. used variances of 1e-3 and 0.1.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, for bounds on I(T+Z;Y) between 0 and H(Y). (Saxe et al. subtract two upper bounds; the difference is
        not a bound.)

    Returns
    -------
    (lower, upper)
        Two BaselineEstimate of ``"I(T;T+Z)"`` in nats.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Notes
    -----
    Sources: Kolchinsky and Tracey, Estimating Mixture Entropy with Pairwise Distances (2017); Saxe et al., On the
    Information Bottleneck Theory of Deep Learning (ICLR 2018).

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> lower, upper = lb.baselines.pairwise_bounds(np.array([[0.0], [100.0]]), sigma=1.0)
    >>> round(lower.bits.value, 6), round(upper.bits.value, 6)
    (1.0, 1.0)
    """
    rows = as_rows("activations", activations)
    sigma = check_positive("sigma", sigma)
    if np.abs(rows).max() > _LARGEST_RATIO * sigma:
        raise ValueError(f"sigma: got {sigma:g}, wanted at least {1 / _LARGEST_RATIO:g} times the largest activation")
    information = _information_bounds(rows, sigma)
    lower = BaselineEstimate("I(T;T+Z)", f"pairwise distances, lower bound, sigma = {sigma:g}", information.lower)
    upper = BaselineEstimate("I(T;T+Z)", f"pairwise distances, upper bound, sigma = {sigma:g}", information.upper)
    if labels is None:
        return lower, upper
    classes = class_numbers(labels, len(rows))
    frequencies = np.bincount(classes) / len(rows)
    conditional = [_information_bounds(rows[classes == label], sigma) for label in range(len(frequencies))]
    label_information = Interval(
        information.lower - float(frequencies @ np.array([bounds.upper for bounds in conditional])),
        information.upper - float(frequencies @ np.array([bounds.lower for bounds in conditional])),
    ).clipped(0.0, float(-(frequencies * np.log(frequencies)).sum()))
    return (
        dataclasses.replace(lower, label_information=label_information.lower),
        dataclasses.replace(upper, label_information=label_information.upper),
    )


def _information_bounds(rows: Doubles, sigma: float) -> Interval:
    noise = noise_entropy(rows.shape[1], sigma)
    lower, upper = (float(bound) - noise for bound in mixture_entropy_bounds(rows, sigma))
    return Interval(max(lower, 0.0), min(upper, math.log(len(rows))))
