"""Estimators from distances to nearest neighbours, with SciPy's k-d tree."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from layerbits._base import Array, Doubles, Integers, check_count, shown
from layerbits.baselines.label_information import as_rows, estimate_from_entropy
from layerbits.geometry import BaselineEstimate
from layerbits.statistics import class_numbers


def kozachenko_leonenko_entropy(
    activations: Array, *, labels: Array | None = None, neighbours: int = 3
) -> BaselineEstimate:
    """Estimate the differential entropy h(T), in nats, from the distance of each row to its k-th nearest neighbour.

    The estimate is asymptotically unbiased for rows sampled from a density. For smooth densities its standard deviation
    falls as n^(-1/2), and its bias roughly as n^(-2/d) in d dimensions. For a deterministic network on a finite data
    set the value has no meaning, because the rows have no density. The value is -inf, the entropy of rows without a
    density, if a row coincides with `neighbours` or more other rows, or if more than d rows lie in a subspace, up to
    rounding; `note` says so. I(T;Y) is then estimated within the subspace. Up to d rows always lie in a subspace: the
    value is then a number without meaning, as `note` says.

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
    neighbours = check_count("neighbours", neighbours, minimum=1)
    estimator = f"Kozachenko-Leonenko, k = {neighbours}"
    return estimate_from_entropy(partial(_entropy, k=neighbours), estimator, activations, labels)


def ksg_information(
    activations: Array, *, inputs: Array, labels: Array | None = None, neighbours: int = 3
) -> BaselineEstimate:
    """Estimate I(X;T), in nats, of sampled inputs and activations, by counts of neighbours.

    X and T may have densities, be discrete, or mix both: a ReLU that is often 0, a unit that is dead or saturated.
    Where a pair coincides with its k nearest neighbours, the pairs that coincide with it take the place of the k. With
    labels, also estimate I(T;Y), by the variant for classes. If T is a function of X and not discrete, as usually in a
    deterministic network, I(X;T) is infinite, and the estimate grows without limit, like log n. If X and T depend
    strongly on each other, the estimate needs very many rows. Distances in X are compared with distances in T: if
    their scales differ much, the estimate is too small, so give both about the same scale.

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
    Ross, Mutual Information between Discrete and Continuous Data Sets (2014); for coinciding rows Gao, Kannan, Oh and
    Viswanath, Estimating Mutual Information for Discrete-Continuous Mixtures (2017), with digamma(n) in place of log n,
    so that the estimate of a constant T is 0. Without coinciding distances these are the estimators of 2004 and 2014.

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
    check_rows(k, n)
    label_information = None if labels is None else class_information(rows, class_numbers(labels, n), k)
    return BaselineEstimate("I(X;T)", f"KSG, k = {k}", pair_information(rows, input_rows, k), label_information)


def pair_information(rows: Doubles, input_rows: Doubles, k: int) -> float:
    """Estimate the information of rows (n, d) and (n, e), more than k, about each other, by KSG."""
    pairs = np.hstack([rows, input_rows])
    radii = _radii(pairs, k)
    counts = _digamma_counts(pairs, radii) - _digamma_counts(rows, radii) - _digamma_counts(input_rows, radii)
    return float(digamma(len(rows)) + counts.mean())


def class_information(rows: Doubles, classes: Integers, k: int) -> float:
    """Estimate I(T;Y) of rows (n, d) and their classes 0, 1, ..., each of more than k rows, by Ross's estimator."""
    radii, of_class, sizes = np.empty(len(rows)), np.empty(len(rows)), np.bincount(classes)
    check_rows(k, int(sizes.min()))
    for label in range(len(sizes)):
        members = classes == label
        radii[members] = _radii(rows[members], k)
        of_class[members] = _digamma_counts(rows[members], radii[members])
    return float(digamma(len(rows)) + (of_class - digamma(sizes)[classes] - _digamma_counts(rows, radii)).mean())


def check_rows(neighbours: int, rows: int) -> None:
    """Raise a ValueError unless there are more rows than neighbours."""
    if rows <= neighbours:
        raise ValueError(
            f"neighbours: got {shown(neighbours)}, wanted fewer than {rows}, the number of rows of the sample or of a "
            "class"
        )


def _entropy(rows: Doubles, k: int) -> float:
    n, d = rows.shape
    check_rows(k, n)
    radii = np.asarray(cKDTree(rows).query(rows, [k + 1])[0])
    log_unit_ball = d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)
    with np.errstate(divide="ignore"):
        return float(digamma(n) - digamma(k) + log_unit_ball + d * np.log(radii).mean())


def _radii(rows: Doubles, k: int) -> Doubles:
    """Return the distance of each row to its k-th neighbour in the maximum norm, shape (n,)."""
    return np.asarray(cKDTree(rows).query(rows, [k + 1], p=np.inf)[0])[:, 0]


def _digamma_counts(rows: Doubles, radii: Doubles) -> Doubles:
    """Return digamma of the number of rows strictly within the radius of each row, itself included, shape (n,).

    At radius 0 the rows that coincide with a row are counted.
    """
    counts = cKDTree(rows).query_ball_point(rows, np.nextafter(radii, 0), p=np.inf, return_length=True)
    return np.asarray(digamma(counts), np.float64)
