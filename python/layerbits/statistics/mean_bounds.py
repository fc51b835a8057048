"""Confidence bounds for means: betting bounds for terms bounded on one side, and Student's margin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from layerbits._base import Doubles

# Largest stake, relative to the stake at which a single term at the lower_limit makes the wealth 0.
_LARGEST_STAKE = 0.9

# Passes of up to this many terms in all are forecast together: for so few, NumPy's calls take longer than their work.
_BLOCK_TERMS = 2**15


def lower_mean_bound(
    passes: Sequence[Doubles], *, lower_limit: float, upper_limit: float, risk: float, fixed_count: bool = True
) -> float:
    """Compute a lower confidence bound of a mean, at level 1 - `risk`, for any number and distribution of the terms.

    Parameters
    ----------
    passes : sequence of arrays of shape (n_k,)
        The first pass is the pilot: at least two terms, which only set stakes and forecasts. The terms of each later
        pass are at least `lower_limit`, and independent within the pass given the earlier passes. The average of the
        expectations of a pass is at most the mean.
    lower_limit : float
        A lower bound of every term.
    upper_limit : float
        An upper bound of the mean.
    risk : float
        Probability, in (0, 1), with which the bound may exceed the mean.
    fixed_count : bool
        Whether the number of terms is fixed before the first pass. Otherwise the caller may stop after any pass, for
        any reason; the stakes are then further from the optimum.

    Returns
    -------
    float
        The bound, in [lower_limit, upper_limit].

    Notes
    -----
    The method is betting (Waudby-Smith and Ramdas, Estimating Means of Bounded Random Variables by Betting, 2023). Each
    pass has one stake, so that the terms of a pass may differ in expectation. If the mean were m or less, the wealth
    prod (1 + stake_k (term - forecast + mean forecast - m)) would have expectation at most 1, by the inequality of the
    arithmetic and the geometric mean, and would exceed 1 / risk with probability `risk` at most. The bound is the
    smallest m at which the wealth does not exceed 1 / risk. Forecasts of the terms, and stakes, depend on earlier
    passes alone. Proof: docs/theory.md.
    """
    if len(passes) == 1:
        return lower_limit
    target = -math.log(risk)
    sizes = [len(terms) for terms in passes]
    counts = np.cumsum(sizes[1:])
    stakes, shifted_terms = [], []
    for block, forecasts, squared_errors in _forecasts(passes):
        deviations = forecasts - forecasts.sum(1, keepdims=True) / forecasts.shape[1]
        spans = upper_limit - lower_limit + deviations.max(1)
        count = counts[-1] if fixed_count else counts[block.start - 1 : block.stop - 1]
        # For small stakes the log wealth is count (mean - m) stake - count squared_error stake^2 / 2. `best_stakes`
        # minimize the distance mean - m at which the log wealth reaches the target.
        with np.errstate(divide="ignore"):
            largest_stakes = np.where(spans > 0, _LARGEST_STAKE / spans, 1.0)
            best_stakes = np.sqrt(2 * target / (count * squared_errors))
        stakes.append(np.minimum(largest_stakes, best_stakes))
        shifted_terms.append((np.array([passes[k] for k in block]) - deviations).ravel())

    stake_of_term, all_terms = np.repeat(np.concatenate(stakes), sizes[1:]), np.concatenate(shifted_terms)

    def excess(mean: float) -> float:
        """Return the log wealth less the target."""
        return float(np.log1p(stake_of_term * (all_terms - mean)).sum()) - target

    if excess(lower_limit) <= 0:
        return lower_limit
    if excess(upper_limit) >= 0:
        return upper_limit
    return float(brentq(excess, lower_limit, upper_limit, xtol=1e-9, rtol=1e-12))


def upper_mean_bound(
    passes: Sequence[Doubles], *, lower_limit: float, upper_limit: float, risk: float, fixed_count: bool = True
) -> float:
    """Compute an upper confidence bound of a mean: minus the lower bound of the negated terms.

    Parameters are those of `lower_mean_bound`, for terms of at most `upper_limit` and a mean of at least `lower_limit`.
    """
    negated = [-terms for terms in passes]
    return -lower_mean_bound(
        negated, lower_limit=-upper_limit, upper_limit=-lower_limit, risk=risk, fixed_count=fixed_count
    )


def student_margin(variances: Doubles, freedom: int, risk: float) -> float:
    """Compute the margin of a one-sided Student bound for a sum of independent estimates.

    Parameters
    ----------
    variances : array of shape (k,)
        Estimated variance of each estimate.
    freedom : int
        Degrees of freedom of each variance, combined by the formula of Welch and Satterthwaite.
    risk : float
        Probability with which the bound may be wrong.

    Returns
    -------
    float
        The distance of the bound from the sum; infinite without degrees of freedom, otherwise 0 if all variances are 0.
    """
    if freedom < 1:
        return math.inf
    total = float(variances.sum())
    if total <= 0:
        return 0.0
    combined_freedom = freedom * total**2 / float(np.square(variances).sum())
    return -float(stdtrit(combined_freedom, risk)) * math.sqrt(total)


def _forecasts(passes: Sequence[Doubles]) -> Iterator[tuple[range, Doubles, Doubles]]:
    """Yield blocks of passes after the first, their forecasts, and the estimated mean square errors of the forecasts.

    The forecasts of a block have the shape (passes, n). They depend on the earlier passes alone.
    """
    yield range(1, 2), np.full((1, len(passes[1])), passes[0].mean()), np.array([passes[0].var()])
    # Passes over the inputs in one order have similar terms at one relative position. At each position the earlier
    # passes have a mean and a sum of squared deviations, which a pass of the same size updates (Welford).
    means = squares = passes[0]
    for block in _blocks([len(terms) for terms in passes]):
        moments = []
        for k in block:
            latest, n = passes[k - 1], len(passes[k])
            if k > 2 and n == len(latest):
                deviations = latest - means
                means = means + deviations / k
                squares = squares + deviations * (latest - means)
            else:
                positions = 2 * np.arange(n) + 1
                aligned_terms = np.array([terms[positions * len(terms) // (2 * n)] for terms in passes[:k]])
                means = aligned_terms.mean(0)
                squares = np.square(aligned_terms - means).sum(0)
            moments.append((means, squares))
        all_means, all_squares = map(np.array, zip(*moments, strict=True))
        counts = np.array(block)
        overall_means = all_means.mean(1, keepdims=True)
        variances_within = all_squares.mean(1) / (counts - 1)
        variances_between = np.maximum(0.0, all_means.var(1) - variances_within / counts)
        # A forecast is the mean at its position, moved towards the overall mean.
        totals = variances_between + variances_within / counts
        shrinkage = np.divide(variances_between, totals, out=np.zeros(len(counts)), where=variances_between > 0)
        forecasts = overall_means + shrinkage[:, None] * (all_means - overall_means)
        yield block, forecasts, variances_within + variances_between * (1 - shrinkage)


def _blocks(sizes: Sequence[int]) -> Iterator[range]:
    """Yield ranges of passes from the third on, of equal sizes, whose terms are few enough to be copied together."""
    start = 2
    for stop in range(3, len(sizes) + 1):
        length = stop - start
        if stop == len(sizes) or sizes[stop] != sizes[start] or (length + 1) * sizes[start] > _BLOCK_TERMS:
            yield range(start, stop)
            start = stop
