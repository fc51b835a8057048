"""Estimators from distances to nearest neighbours, with SciPy's k-d tree."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from layerbits._base import Array, Doubles, Integers, check_count, shown
from layerbits.baselines.label_information import as_rows, estimate_from_entropy
from layerbits.geometry import BaselineEstimate
from layerbits.kernels import RandomStream, stream
from layerbits.statistics import class_numbers

_NOISE_WIDTH = 2.0**-32  # in median radii: far below distances of values, far above the rounding of doubles


def kozachenko_leonenko_entropy(
    activations: Array, *, labels: Array | None = None, neighbours: int = 3
) -> BaselineEstimate:
    """Estimate the differential entropy h(T), in nats, from the distance of each row to its k-th nearest neighbour.

    The estimate is asymptotically unbiased for rows sampled from a density. For smooth densities its standard deviation
    falls as n^(-1/2), and its bias roughly as n^(-2/d) in d dimensions. For a deterministic network on a finite data
    set the value has no meaning, because the rows have no density. The value is -inf, the entropy of rows without a
    density, if a row coincides with `neighbours` or more other rows, or if more than d rows lie in a subspace, up to
    rounding. In a subspace I(T;Y) is estimated within it. Up to d rows always lie in a subspace, and if rows coincide
    with fewer others the value is too small: both are numbers without meaning. `note` says so in each case.

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
    Where a pair coincides with its k nearest neighbours, the pairs that coincide with it take the place of the k. Other
    distances that tie are made to differ by a tiny noise, so the value then depends slightly on the order of the rows.
    With labels, also estimate I(T;Y), by the variant for classes.

    If X and T depend strongly on each other, the estimate needs very many rows. So does a discrete T that is a function
    of X: its values need more than k rows each, or the estimate is too small (T = X with 200 values, 1000 rows and
    k = 3: 5.1 in place of 5.3; `discrete_information` counts the values). If T is a function of X and not discrete, as
    usually in a deterministic network, I(X;T) is infinite, and the estimate grows without limit, like log n. Distances
    in X are compared with distances in T: if their scales differ much, the estimate is too small, so give both about
    the same scale.

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
    so that the estimate of a constant T is 0. The noise is the advice of 2004; here it is uniform, and 2^-32 of the
    median distance to the k-th neighbour wide. Without coinciding distances these are the estimators of 2004 and 2014.
    Distances at the edge that tie would leave fewer than k pairs within it: without noise, 1000 independent pairs of 16
    and 256 values have an estimate of 0.9. Counts that include the edge (Mesner and Shalizi 2019) err by up to 0.14.

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
    random = stream(0, RandomStream.BASELINE_TIES)
    value = pair_information(rows, input_rows, k, random)
    label_information = None if labels is None else class_information(rows, class_numbers(labels, n), k, random)
    return BaselineEstimate("I(X;T)", f"KSG, k = {k}", value, label_information)


def pair_information(rows: Doubles, input_rows: Doubles, k: int, random: np.random.Generator) -> float:
    """Estimate the information of rows (n, d) and (n, e), more than k, about each other, by KSG."""
    pairs, d = np.hstack([rows, input_rows]), rows.shape[1]
    untied, radii = _break_ties(pairs, [np.arange(len(rows))], k, random)
    pair_counts = _digamma_counts(pairs, untied, radii)
    counts = _digamma_counts(rows, untied[:, :d], radii) + _digamma_counts(input_rows, untied[:, d:], radii)
    return float(digamma(len(rows)) + (pair_counts - counts).mean())


def class_information(rows: Doubles, classes: Integers, k: int, random: np.random.Generator) -> float:
    """Estimate I(T;Y) of rows (n, d) and their classes 0, 1, ..., each of more than k rows, by Ross's estimator."""
    of_class, sizes = np.empty(len(rows)), np.bincount(classes)
    check_rows(k, int(sizes.min()))
    groups = [np.flatnonzero(classes == label) for label in range(len(sizes))]
    untied, radii = _break_ties(rows, groups, k, random)
    for members in groups:
        of_class[members] = _digamma_counts(rows[members], untied[members], radii[members])
    of_all = _digamma_counts(rows, untied, radii)
    return float(digamma(len(rows)) + (of_class - digamma(sizes)[classes] - of_all).mean())


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


def _break_ties(rows: Doubles, groups: list[Integers], k: int, random: np.random.Generator) -> tuple[Doubles, Doubles]:
    """Return rows (n, d) with a tiny noise, and the distance (n,) of each row to its k-th neighbour in its group.

    Noise changes no information while it is smaller than the distances of different values. Rows that coincide with k
    others have the distance 0; the other distances are positive, and those of the noisy rows.
    """
    radii = _radii(rows, groups, k)
    positive = radii[radii > 0]
    width = _NOISE_WIDTH * float(np.median(positive)) if positive.size else 0.0
    # An offset of all rows would round the noise away.
    untied = rows - rows.min(axis=0) + width * random.random(rows.shape)
    least = np.nextafter(0, 1)  # distances far below the largest value may round to 0
    return untied, np.where(radii > 0, np.maximum(_radii(untied, groups, k), least), 0.0)


def _radii(rows: Doubles, groups: list[Integers], k: int) -> Doubles:
    """Return the distance of each row to its k-th neighbour in its group, in the maximum norm, shape (n,)."""
    radii = np.empty(len(rows))
    for members in groups:
        radii[members] = np.asarray(cKDTree(rows[members]).query(rows[members], [k + 1], p=np.inf)[0])[:, 0]
    return radii


def _digamma_counts(rows: Doubles, untied: Doubles, radii: Doubles) -> Doubles:
    """Return digamma of the number of untied rows strictly within the radius of each row, itself included, shape (n,).

    At radius 0 the rows that coincide with a row are counted.
    """
    counts = np.empty(len(rows))
    for points, members in ((rows, radii == 0), (untied, radii > 0)):
        counts[members] = cKDTree(points).query_ball_point(
            points[members], np.nextafter(radii[members], 0), p=np.inf, return_length=True
        )
    return np.asarray(digamma(counts), np.float64)
