"""The matrix-based Renyi entropy: a functional of the eigenvalues of a Gram matrix."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import eigvalsh
from scipy.spatial.distance import pdist, squareform

from layerbits._base import Array, check_positive
from layerbits.baselines.rows import Doubles, as_rows
from layerbits.geometry import BaselineEstimate
from layerbits.statistics import class_numbers


def matrix_renyi_entropy(
    activations: Array, *, labels: Array | None = None, alpha: float = 1.01, width: float | None = None
) -> BaselineEstimate:
    """Matrix-based Renyi entropy S_alpha in nats of the normalized Gram matrix of the rows.

    With A = K / n and K_ij = exp(-|t_i - t_j|^2 / (2 width^2)), S_alpha = log(sum of eigenvalues^alpha) / (1 - alpha).
    It is 0 where all rows coincide, log n where all are far apart, and no Shannon entropy of any variable: the width
    decides the value, as a bin does. O(n^2) memory and O(n^3) time, and O(n^2 d) for the distances.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n >= 1.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, for S(A) + S(B) - S(A o B), with B_ij = 1/n for equal labels, and A o B the product of entries,
        normalized.
    alpha : float
        Order, positive, not 1; near 1 as in the source by default.
    width : float, optional
        Of the kernel; by default the median of the distances that are not 0.

    Returns
    -------
    BaselineEstimate
        Of ``"S_alpha(T)"``, in nats.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.

    Notes
    -----
    Sources: Giraldo, Rao and Principe, Measures of Entropy from Data Using Infinitely Divisible Kernels (2015);
    Wickstroem et al., Information Plane Analysis of Deep Neural Networks via Matrix-Based Renyi's Entropy and Tensor
    Kernels (2019): alpha = 1.01. There the width is tuned to the labels (as recalled); the median is ours.
    """
    rows, order = as_rows("activations", activations), check_positive("alpha", alpha)
    if order == 1:
        raise ValueError("alpha: got 1, wanted another order, such as 1.01")
    distances = pdist(rows)
    apart = distances[distances > 0]
    default = float(np.median(apart)) if len(apart) else 1.0
    scale = default if width is None else check_positive("width", width)
    gram = np.exp(-np.square(squareform(distances) / scale) / 2) / len(rows)
    value = _entropy(gram, order)
    labelled = None
    if labels is not None:
        classes = class_numbers(labels, len(rows))
        same = np.equal.outer(classes, classes)
        # The Gram matrix of labels has the shares of the classes as eigenvalues; that of both has blocks.
        shares = np.bincount(classes) / len(rows)
        labelled = value + math.log(float((shares**order).sum())) / (1 - order) - _entropy(gram * same, order)
    return BaselineEstimate("S_alpha(T)", f"matrix Renyi, alpha = {order:g}, width = {scale:.3g}", value, labelled)


def _entropy(gram: Doubles, order: float) -> float:
    """S_alpha of a Gram matrix of trace 1."""
    eigenvalues = eigvalsh(gram).clip(min=0)  # rounding makes some negative
    return math.log(float((eigenvalues**order).sum())) / (1 - order)
