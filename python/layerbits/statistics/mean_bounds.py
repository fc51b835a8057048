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
    stakes, shifted_terms = [], []
    for k, (forecasts, squared_error) in enumerate(_forecasts(passes), start=1):
        deviations = forecasts - forecasts.sum() / len(forecasts)
        span = upper_limit - lower_limit + float(deviations.max())
        largest_stake = _LARGEST_STAKE / span if span > 0 else 1.0
        count = sum(sizes[1:] if fixed_count else sizes[1 : k + 1])
        # For small stakes the log wealth is count (mean - m) stake - count squared_error stake^2 / 2. `best_stake`
        # minimizes the distance mean - m at which the log wealth reaches the target.
        best_stake = math.sqrt(2 * target / (count * squared_error)) if squared_error > 0 else math.inf
        stakes.append(min(largest_stake, best_stake))
        shifted_terms.append(passes[k] - deviations)

    stake_of_term, all_terms = np.repeat(stakes, sizes[1:]), np.concatenate(shifted_terms)

    def excess(mean: float) -> float:
        """Return the log wealth less the target."""
        return float(np.log1p(stake_of_term * (all_terms - mean)).sum()) - target

    if excess(lower_limit) <= 0:
        return lower_limit
    return (
        upper_limit
        if excess(upper_limit) >= 0
        else float(brentq(excess, lower_limit, upper_limit, xtol=1e-9, rtol=1e-12))
    )


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


def _forecasts(passes: Sequence[Doubles]) -> Iterator[tuple[Doubles, float]]:
    """Yield forecasts of each pass after the first, shape (n,), and an estimate of their mean square error.

    The forecasts depend on the earlier passes alone.
    """
    yield np.full(len(passes[1]), passes[0].mean()), float(passes[0].var())
    # Passes over the inputs in one order have similar terms at one relative position. At each position the earlier
    # passes have a mean and a sum of squared deviations, which a pass of the same size updates (Welford).
    means = squares = passes[0]
    for k in range(2, len(passes)):
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
        # Sums and counts take a third of the time of NumPy's mean and var.
        overall_mean = means.sum() / n
        centered = means - overall_mean
        variance_within = float(squares.sum()) / n / (k - 1)
        variance_between = max(0.0, float(np.square(centered).sum()) / n - variance_within / k)
        # A forecast is the mean at its position, moved towards the overall mean.
        shrinkage = variance_between / (variance_between + variance_within / k) if variance_between > 0 else 0.0
        forecasts = overall_mean + shrinkage * centered
        yield forecasts, variance_within + variance_between * (1 - shrinkage)
