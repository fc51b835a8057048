"""Estimators from distances to nearest neighbours, by scipy's k-d tree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from layerbits._base import Array, check_count
from layerbits.baselines.rows import Doubles, as_rows, entropy_estimate
from layerbits.geometry import BaselineEstimate
from layerbits.statistics import class_numbers


def kozachenko_leonenko_entropy(
    activations: Array, *, labels: Array | None = None, neighbours: int = 3
) -> BaselineEstimate:
    """Differential entropy h(T) in nats from the distance of every row to its k-th nearest neighbour.

    Unbiased in the limit for rows that are drawn from a density. Its error falls as n^(-1/d) or so in d dimensions, and
    it has no meaning for a deterministic network on a finite data set, whose rows have no density: -inf where rows
    coincide with `neighbours` others.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n > `neighbours`, in every class.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, for I(T;Y) = h(T) - h(T|Y); NaN where both are -inf.
    neighbours : int
        The k of the k-th neighbour, at least 1.

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
    Sources: Kozachenko and Leonenko (1987); Kraskov, Stoegbauer and Grassberger, Estimating Mutual Information (2004),
    eq. 20, with Euclidean balls.
    """
    rows, k = as_rows("activations", activations), check_count("neighbours", neighbours, minimum=1)

    def entropy(some: Doubles) -> float:
        n, d = some.shape
        if n <= k:
            raise ValueError(f"neighbours: got {k}, wanted less than the {n} rows of {_whose(n, len(rows))}")
        radii = np.asarray(cKDTree(some).query(some, [k + 1])[0])
        ball = d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)
        with np.errstate(divide="ignore"):
            return float(digamma(n) - digamma(k) + ball + d * np.log(radii).mean())

    return entropy_estimate(entropy, "h(T)", f"Kozachenko-Leonenko, k = {k}", rows, labels)


def ksg_information(
    activations: Array, *, inputs: Array, labels: Array | None = None, neighbours: int = 3
) -> BaselineEstimate:
    """I(X;T) in nats from counts of neighbours, of inputs and activations drawn from a joint density.

    With labels also I(T;Y), by the variant of Ross for classes. Where T is a function of X, as in a deterministic
    network, I(X;T) is infinite, and what is returned only grows with log n. Strong dependence needs very many rows.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n > `neighbours`, in every class.
    inputs : tensor or array of shape (n, e)
        X, float32 or float64, finite.
    labels : integer tensor or array of shape (n,), optional
        Classes Y.
    neighbours : int
        The k of the k-th neighbour, at least 1.

    Returns
    -------
    BaselineEstimate
        Of ``"I(X;T)"``, in nats; it may be negative.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.

    Notes
    -----
    Sources: Kraskov, Stoegbauer and Grassberger, Estimating Mutual Information (2004), algorithm 1 in the maximum norm;
    Ross, Mutual Information between Discrete and Continuous Data Sets (2014).
    """
    rows, others = as_rows("activations", activations), as_rows("inputs", inputs)
    n, k = len(rows), check_count("neighbours", neighbours, minimum=1)
    if len(others) != n:
        raise ValueError(f"inputs: got {len(others)} rows, wanted {n} like activations")
    if n <= k:
        raise ValueError(f"neighbours: got {k}, wanted less than the {n} rows of all")
    radii = _radii(np.hstack([rows, others]), k)
    value = digamma(k) + digamma(n) - (_closer(rows, radii) + _closer(others, radii)).mean()
    labelled = None if labels is None else _ross(rows, class_numbers(labels, n), k)
    return BaselineEstimate("I(X;T)", f"KSG, k = {k}", float(value), labelled)


def _ross(rows: Doubles, classes: npt.NDArray[np.int64], k: int) -> float:
    radii, sizes = np.empty(len(rows)), np.bincount(classes)
    if sizes.min() <= k:
        raise ValueError(f"neighbours: got {k}, wanted less than the {sizes.min()} rows of one class")
    for one in range(len(sizes)):
        radii[classes == one] = _radii(rows[classes == one], k)
    return float(digamma(len(rows)) + digamma(k) - digamma(sizes)[classes].mean() - _closer(rows, radii).mean())


def _radii(rows: Doubles, k: int) -> Doubles:
    """Distance of every row to its k-th neighbour in the maximum norm, shape (n,)."""
    return np.asarray(cKDTree(rows).query(rows, [k + 1], p=np.inf)[0])[:, 0]


def _closer(rows: Doubles, radii: Doubles) -> Doubles:
    """digamma(1 + the number of other rows that are strictly closer than the radius), shape (n,)."""
    within = cKDTree(rows).query_ball_point(rows, np.nextafter(radii, 0), p=np.inf, return_length=True)
    # Where the radius is 0, the row itself is all that counts.
    counts: Doubles = digamma(np.where(radii > 0, within, 1))
    return counts


def _whose(n: int, all_rows: int) -> str:
    return "all" if n == all_rows else "one class"
