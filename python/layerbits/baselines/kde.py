"""Entropy of a kernel density estimate whose bandwidth is chosen by cross-validation."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from layerbits._base import Array, Doubles, Integers, check_count, shown
from layerbits.baselines.label_information import estimate_from_entropy
from layerbits.geometry import BaselineEstimate
from layerbits.kernels import RandomStream, stream
from layerbits.mixtures import mixture_log_density

# Candidate bandwidths in units of Scott's rule. Tight clusters need bandwidths far below Scott's.
_BANDWIDTH_FACTORS = 2.0 ** np.arange(-8, 2.25, 0.5)


def kde_entropy(activations: Array, *, labels: Array | None = None, folds: int = 5, seed: int = 0) -> BaselineEstimate:
    """Estimate the differential entropy h(T), in nats, by the mean log density of held-out rows.

    The kernel is an isotropic Gaussian. The bandwidth, out of 21, has the largest mean log density of held-out rows.
    For a fixed bandwidth the expectation of the estimate is a cross-entropy and so too large; in high
    dimension it stays too large, because no bandwidth fits well. For a deterministic network on a finite data set the
    value has no meaning, because the rows have no density: if rows coincide, the value is too small, and if many do,
    the smallest bandwidth determines it. If all rows coincide, or more than d rows lie in a subspace, up to rounding,
    the value is -inf; I(T;Y) is then estimated within the subspace. Up to d rows always lie in a subspace. `note` says
    so in each case.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; at least `folds` rows, and with labels at least `folds` rows of every class.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, for I(T;Y) = h(T) - h(T|Y).
    folds : int
        Number of parts into which the rows are divided, at least 2; each part is held out once.
    seed : int
        Seed of the division.

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
    Source: likelihood cross-validation, Silverman, Density Estimation (1986), section 3.4.4. The bandwidths lie between
    2^-8 and 4 times Scott's n^(-1/(d + 4)) standard deviations.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> rows = np.random.default_rng(0).standard_normal((500, 1))
    >>> entropy = 0.5 * np.log(2 * np.pi * np.e)  # of N(0, 1)
    >>> bool(abs(lb.baselines.kde_entropy(rows).value - entropy) < 0.1)
    True
    """
    folds = check_count("folds", folds, minimum=2)
    seed = check_count("seed", seed, minimum=0)
    estimator = f"KDE, {folds}-fold cross-validation"
    return estimate_from_entropy(partial(_entropy, folds=folds, seed=seed), estimator, activations, labels)


def _entropy(rows: Doubles, folds: int, seed: int) -> float:
    n, d = rows.shape
    if n < folds:
        raise ValueError(f"folds: got {shown(folds)}, wanted at most {n}, the number of rows of a class")
    deviation = math.sqrt(float(rows.var(axis=0).mean()))
    if deviation == 0 or (rows == rows[0]).all():  # rounding of the mean may make the variance of equal rows positive
        return -math.inf
    fold = stream(seed, RandomStream.FOLDS, n).permutation(n) % folds
    return min(_cross_entropy(rows, fold, factor * deviation * n ** (-1 / (d + 4))) for factor in _BANDWIDTH_FACTORS)


def _cross_entropy(rows: Doubles, fold: Integers, bandwidth: float) -> float:
    log_densities = [
        mixture_log_density(rows[fold == index], rows[fold != index], bandwidth) for index in range(int(fold.max()) + 1)
    ]
    return -float(np.concatenate(log_densities).mean())
