"""The information of known channels in one dimension, by quadrature with a proven bound of its error: no Monte Carlo.

A trapezoidal sum of step h differs from the integral of f by at most h^4 / 720 times the integral of |f''''|. For
f = -p log p and a mixture p of Gaussians, moments of the noise alone bound that integral (docs/theory.md, "Slices").
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from scipy.special import entr

from layerbits._base import Doubles, Integers
from layerbits.kernels import as_sigma, log_sum_exp_isotropic
from layerbits.statistics import ceilings

# Wanted error of an entropy, in nats; an information is the difference of at most two.
_ENTROPY_ERROR = 5e-5

# Points farther than this from every center, in standard deviations of the noise, are left out. These points would add
# at most 2 P(|Z| > 8) (log N + 34) < 1e-13 nats for N < 10^15.
_REACH = 8.0

# Bound of the rounding in float64 for N < 10^6. A log-sum is wrong by at most 5 eps (1 + 40) < 1e-13 where it matters.
# A cluster is at most 16 N standard deviations wide, so that its places and points together are wrong by at most 24 N
# eps, and the integral of |(p log p)'| is at most log N + 4/3.
_ROUNDING = 1e-7


def line_information(
    centers: Doubles, sigma: float, classes: Integers | None = None
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Compute the information of a channel S + Z, Z ~ N(0, sigma^2), for S uniform over centers on a line, in nats.

    Parameters
    ----------
    centers : array of shape (n,)
        The values of S; finite.
    sigma : float
        Standard deviation of the noise.
    classes : array of shape (n,), optional
        Class numbers 0, 1, ... of the inputs.

    Returns
    -------
    values, errors : mapping of str to float
        I(X;T) and, with classes, I(T;Y) and I(X;T|Y), and a bound of the error of each value; values lie between 0 and
        their ceilings.

    Notes
    -----
    Centers that are more than 16 standard deviations apart share no point, so the number of pairs is at most that of
    the centers times the number of points in their cluster. Each cluster has points of its own, so the distances
    between clusters are not rounded.
    """
    n = len(centers)
    clusters, places = _clusters(centers, sigma)
    step = (720 * _ENTROPY_ERROR / fourth_derivative(n)) ** 0.25
    numbers = np.zeros(n, np.int64) if classes is None else classes
    densities, class_densities = _relative_densities(clusters, places, numbers, step)
    scale = step / math.sqrt(2 * math.pi)
    frequencies = np.bincount(numbers) / n
    # Entropies less that of the noise: the density of the noise at 0 adds 1/2.
    marginal = scale * float(entr(densities).sum()) - 0.5
    class_entropies = (f * entr(values).sum() for f, values in zip(frequencies, class_densities, strict=True))
    given_class = scale * float(sum(class_entropies))
    error = step**4 / 720 * fourth_derivative(n) + _ROUNDING
    values, errors = {"I(X;T)": marginal}, {"I(X;T)": error}
    if classes is not None:
        values |= {"I(T;Y)": marginal + 0.5 - given_class, "I(X;T|Y)": given_class - 0.5}
        errors |= {"I(T;Y)": 2 * error, "I(X;T|Y)": error}
    highest = ceilings(n, classes)
    return {name: min(max(value, 0.0), highest[name]) for name, value in values.items()}, errors


def fourth_derivative(n: int) -> float:
    """Return a bound of the integral of |(p log p)''''| for a mixture p of n Gaussians N(s, 1) of equal weights."""
    log_n = math.log(n)
    return 4 * math.sqrt(6) + 6 + 6 * math.sqrt(6) + 6 + math.sqrt(24 * (log_n**2 + log_n + 1.75))


def _clusters(centers: Doubles, sigma: float) -> tuple[Integers, Doubles]:
    """Return the cluster of each center (n,), and its distance from the least center of the cluster over sigma."""
    order = centers.argsort()
    in_order = centers[order]
    with np.errstate(over="ignore"):  # an infinite gap separates clusters too
        is_first = np.diff(in_order, prepend=-np.inf) > 2 * _REACH * sigma
    clusters = np.empty(len(centers), np.int64)
    clusters[order] = is_first.cumsum() - 1
    return clusters, (centers - in_order[is_first][clusters]) / sigma


def _relative_densities(
    clusters: Integers, places: Doubles, classes: Integers, step: float
) -> tuple[Doubles, list[Doubles]]:
    """Return p / max(phi) on multiples of `step` near the places (n,) of each cluster, and the same for each class.

    The density of a class is given at the points of the clusters that contain places of the class.
    """
    n = len(places)
    highest = np.zeros(clusters.max() + 1)
    np.maximum.at(highest, clusters, places)
    first = math.ceil(-_REACH / step)
    counts = np.floor((highest + _REACH) / step).astype(np.int64) - first + 1

    # A group has the places of one class in one cluster, and all points of the cluster.
    order = np.lexsort((places, classes, clusters))
    keys = clusters[order] * (classes.max() + 1) + classes[order]
    groups, sizes = np.unique(keys, return_counts=True)
    cluster_of_group, class_of_group = np.divmod(groups, classes.max() + 1)
    points_of_group = counts[cluster_of_group]
    offsets = np.append(0, points_of_group.cumsum())
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], points_of_group)
    points = (first + within) * step
    log_sums = log_sum_exp_isotropic(
        torch.from_numpy(points[:, None]),
        torch.from_numpy(places[order][:, None]),
        as_sigma(1.0),
        point_offsets=torch.from_numpy(offsets),
        center_offsets=torch.from_numpy(np.append(0, sizes.cumsum())),
    )
    sums = np.exp(log_sums.numpy())
    start_of_cluster = np.append(0, counts.cumsum())
    positions = np.repeat(start_of_cluster[cluster_of_group], points_of_group) + within
    densities = np.bincount(positions, sums, minlength=start_of_cluster[-1]) / n
    class_of_point = np.repeat(class_of_group, points_of_group)
    class_sizes = np.bincount(classes)
    return densities, [sums[class_of_point == label] / size for label, size in enumerate(class_sizes)]
