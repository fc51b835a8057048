"""Estimators from distances to nearest neighbours, with SciPy's k-d tree."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from layerbits._base import Array, Doubles, Integers, check_count
from layerbits.baselines.label_information import as_rows, estimate_from_entropy
from layerbits.geometry import BaselineEstimate
from layerbits.statistics import class_numbers


def kozachenko_leonenko_entropy(
    activations: Array, *, labels: Array | None = None, neighbours: int = 3
) -> BaselineEstimate:
    """Estimate the differential entropy h(T), in nats, from the distance of each row to its k-th nearest neighbour.

    The estimate is asymptotically unbiased for rows sampled from a density. For smooth densities its standard deviation
    falls as n^(-1/2), and its bias roughly as n^(-2/d) in d dimensions. For a deterministic network on a finite data
    set the value has no meaning, because the rows have no density. The estimate is -inf if a row coincides with
    `neighbours` or more other rows.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; more than `neighbours` rows, and with `labels` in every class.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, for I(T;Y) = h(T) - h(T|Y), which is NaN if both entropies are -inf.
    neighbours : int
        The index k of the neighbour, at least 1.

    Returns
    -------
    BaselineEstimate
        ``"h(T)"`` in nats.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Notes
    -----
    Sources: Kozachenko and Leonenko (1987); Kraskov, Stoegbauer and Grassberger, Estimating Mutual Information (2004),
    eq. 20, with Euclidean balls.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> rows = np.random.default_rng(0).random((2000, 1))  # uniform on [0, 1]: h = 0
    >>> bool(abs(lb.baselines.kozachenko_leonenko_entropy(rows).value) < 0.1)
    True
    """
    rows = as_rows("activations", activations)
    neighbours = check_count("neighbours", neighbours, minimum=1)
    estimator = f"Kozachenko-Leonenko, k = {neighbours}"
    return estimate_from_entropy(partial(_entropy, k=neighbours), "h(T)", estimator, rows, labels)


def ksg_information(
    activations: Array, *, inputs: Array, labels: Array | None = None, neighbours: int = 3
) -> BaselineEstimate:
    """Estimate I(X;T), in nats, of inputs and activations sampled from a joint density, by counts of neighbours.

    With labels, also estimate I(T;Y), by Ross's variant for classes. If T is a function of X and not discrete, as
    usually in a deterministic network, I(X;T) is infinite, and the estimate grows without limit, like log n. If X and T
    depend strongly on each other, the estimate needs very many rows.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; more than `neighbours` rows, and with `labels` in every class.
    inputs : tensor or array of shape (n, e)
        X, float32 or float64, finite.
    labels : integer tensor or array of shape (n,), optional
        Classes Y.
    neighbours : int
        The index k of the neighbour, at least 1.

    Returns
    -------
    BaselineEstimate
        ``"I(X;T)"`` in nats; it may be negative.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Notes
    -----
    Sources: Kraskov, Stoegbauer and Grassberger, Estimating Mutual Information (2004), algorithm 1 in the maximum norm;
    Ross, Mutual Information between Discrete and Continuous Data Sets (2014).

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> x, z = np.random.default_rng(0).standard_normal((2, 2000, 1))
    >>> estimate = lb.baselines.ksg_information(x + z, inputs=x)
    >>> bool(abs(estimate.value - 0.5 * np.log(2)) < 0.1)
    True
    """
    rows, input_rows = as_rows("activations", activations), as_rows("inputs", inputs)
    n, k = len(rows), check_count("neighbours", neighbours, minimum=1)
    if len(input_rows) != n:
        raise ValueError(f"inputs: got {len(input_rows)} rows, wanted {n}, one for each row of activations")
    _check_rows(k, n)
    radii = _radii(np.hstack([rows, input_rows]), k)
    value = digamma(k) + digamma(n) - (_digamma_counts(rows, radii) + _digamma_counts(input_rows, radii)).mean()
    label_information = None if labels is None else _ross_information(rows, class_numbers(labels, n), k)
    return BaselineEstimate("I(X;T)", f"KSG, k = {k}", float(value), label_information)


def _entropy(rows: Doubles, k: int) -> float:
    n, d = rows.shape
    _check_rows(k, n)
    radii = np.asarray(cKDTree(rows).query(rows, [k + 1])[0])
    log_unit_ball = d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)
    with np.errstate(divide="ignore"):
        return float(digamma(n) - digamma(k) + log_unit_ball + d * np.log(radii).mean())


def _ross_information(rows: Doubles, classes: Integers, k: int) -> float:
    """Estimate I(T;Y) of rows and their classes 0, 1, ..."""
    radii, sizes = np.empty(len(rows)), np.bincount(classes)
    _check_rows(k, int(sizes.min()))
    for label in range(len(sizes)):
        radii[classes == label] = _radii(rows[classes == label], k)
    return float(digamma(len(rows)) + digamma(k) - digamma(sizes)[classes].mean() - _digamma_counts(rows, radii).mean())


def _check_rows(neighbours: int, rows: int) -> None:
    if rows <= neighbours:
        raise ValueError(
            f"neighbours: got {neighbours}, wanted fewer than {rows}, the number of rows of the sample or of a class"
        )


def _radii(rows: Doubles, k: int) -> Doubles:
    """Return the distance of each row to its k-th neighbour in the maximum norm, shape (n,)."""
    return np.asarray(cKDTree(rows).query(rows, [k + 1], p=np.inf)[0])[:, 0]


def _digamma_counts(rows: Doubles, radii: Doubles) -> Doubles:
    """Return digamma(1 + number of other rows strictly within the radius) of each row, shape (n,)."""
    counts = cKDTree(rows).query_ball_point(rows, np.nextafter(radii, 0), p=np.inf, return_length=True)
    # The tree counts the row itself. At radius 0 it also counts coinciding rows, which are not strictly within.
    values: Doubles = digamma(np.where(radii > 0, counts, 1))
    return values
