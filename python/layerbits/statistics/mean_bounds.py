"""Confidence bounds for means: for independent terms bounded on one side, whatever their law; and Student's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from layerbits._base import Doubles

# Share of the largest stake that cannot go bankrupt; at 1 a single term at the floor would end it.
_BOLDEST = 0.9

# Passes at the most: what more of them would teach about the next narrows an interval by some two hundredths.
_MOST_PASSES = 64


def lower_mean_bound(
    pilot: Sequence[Doubles],
    passes: Sequence[Doubles],
    *,
    floor: float,
    ceiling: float,
    risk: float,
    foreseen: bool = True,
) -> float:
    """Lower confidence bound for a mean, at level 1 - `risk`, for any number of terms of any distribution.

    Parameters
    ----------
    pilot : sequence of arrays
        Terms that only set the stakes of the first pass; at least two numbers in all.
    passes : sequence of arrays of shape (n_k,)
        Terms >= `floor` that are independent within a pass, given those before and the pilot. Their expectations have
        the mean in question, in every pass, or less.
    floor, ceiling : float
        Below every term; above the mean.
    risk : float
        Probability, in (0, 1), with which the bound may be above the mean.
    foreseen : bool
        Whether the number of terms was settled beforehand. If not, one may stop after any pass, whatever it was that
        made one stop, for stakes that are further from the optimum.

    Returns
    -------
    float
        At least `floor`.

    Notes
    -----
    Betting (Waudby-Smith and Ramdas, Estimating Means of Bounded Random Variables by Betting, 2023), with one stake a
    pass, so that terms of different expectations are served too. Were the mean m or less, the wealth
    prod (1 + stake_k (term - center + mean center - m)) would have expectation at most 1, by the inequality of the
    arithmetic and the geometric mean; it exceeds 1 / risk with probability `risk` at most. The bound is the least m
    that is not refuted so. Centers (what earlier passes say of a term) and stakes come from earlier passes.
    """
    wanted = -math.log(risk)
    n = sum(map(len, passes)) if foreseen else 0
    terms, stakes = [], []
    for place, one in enumerate(passes):
        n += 0 if foreseen else len(one)
        centers, miss = _forecast([*pilot, *passes[:place]], len(one))
        off_center = centers - centers.mean()
        span = ceiling - floor + float(off_center.max())
        largest = _BOLDEST / span if span > 0 else 1.0
        # The optimum for small stakes, of n (mean - m) stake - n miss stake^2 / 2 against what is wanted.
        stakes.append(min(largest, math.sqrt(2 * wanted / (n * miss))) if miss > 0 else largest)
        terms.append(one - off_center)

    def lead(mean: float) -> float:
        gains = (np.log1p(stake * (one - mean)).sum() for one, stake in zip(terms, stakes, strict=True))
        return float(sum(gains)) - wanted

    if lead(floor) <= 0:
        return floor
    return ceiling if lead(ceiling) >= 0 else float(brentq(lead, floor, ceiling, xtol=1e-9, rtol=1e-12))


def upper_mean_bound(
    pilot: Sequence[Doubles],
    passes: Sequence[Doubles],
    *,
    floor: float,
    ceiling: float,
    risk: float,
    foreseen: bool = True,
) -> float:
    """Upper confidence bound: `lower_mean_bound` upside down, for terms <= `ceiling` and a mean >= `floor`."""
    mirrored = ([-one for one in some] for some in (pilot, passes))
    return -lower_mean_bound(*mirrored, floor=-ceiling, ceiling=-floor, risk=risk, foreseen=foreseen)


def in_passes(terms: Doubles) -> list[Doubles]:
    """Return terms (n, q) as passes over all n, each of one column, or of as many as leave no more than some passes."""
    return [one.ravel() for one in np.array_split(terms, min(terms.shape[1], _MOST_PASSES), axis=1)]


def secured(terms: Doubles, share: float) -> Doubles:
    """Return the terms log(q(x|t) / p(x)) of a decoder that with probability `share` says p(x), what it knew before.

    That costs it about `share` nats at the most, and its terms never fall below log(share).
    """
    bounded: Doubles = np.logaddexp(terms + math.log1p(-share), math.log(share))
    return bounded


def rare_share(n: int, risk: float) -> float:
    """Return -log(risk) / n: what happens more often is seen among n, but for `risk`; at most a half."""
    return min(0.5, -math.log(risk) / n)


def channel_interval(terms: Doubles, *, ceiling: float, most: float, risk: float) -> tuple[float, float]:
    """Confidence interval of an information from terms (n, q), q >= 2, of a known channel; `risk` is that of an end.

    Each column holds independent terms log(p(t|x) / p(t)) of all n inputs, `most` at the most; the information is
    between 0 and `ceiling`. The first pass is the pilot.
    """
    terms = np.minimum(terms, most)  # which rounding may have put some above
    pilot, *others = in_passes(terms)
    share = rare_share(sum(map(len, others)), risk)
    first, *secure = in_passes(secured(terms, share))
    low = lower_mean_bound([first], secure, floor=math.log(share), ceiling=ceiling, risk=risk)
    high = upper_mean_bound([pilot], others, floor=0.0, ceiling=most, risk=risk)
    return min(max(low, 0.0), ceiling), min(high, ceiling)


def student_margin(variances: Doubles, freedom: int, risk: float) -> float:
    """Margin of a one-sided Student bound for a sum of independent estimates of these variances, of `freedom` each.

    Their degrees of freedom are put together by the formula of Welch and Satterthwaite. Without any, it is infinite.
    """
    if freedom < 1:
        return math.inf
    total = float(variances.sum())
    if total <= 0:
        return 0.0
    together = freedom * total**2 / float(np.square(variances).sum())
    return -float(stdtrit(together, risk)) * math.sqrt(total)


def _forecast(past: Sequence[Doubles], n: int) -> tuple[Doubles, float]:
    """Return what passes say of the terms of the next, shape (n,), and the mean square by which it will miss them."""
    if len(past) < 2:
        return np.full(n, past[0].mean()), float(past[0].var())
    # Passes of another length are in the same order: terms at the same place are of much the same kind.
    alike = np.array([one if len(one) == n else one[(2 * np.arange(n) + 1) * len(one) // (2 * n)] for one in past])
    within = float(alike.var(axis=0, ddof=1).mean())
    means = alike.mean(0)
    between = max(0.0, float(means.var()) - within / len(alike))
    share = between / (between + within / len(alike)) if between > 0 else 0.0
    return means.mean() + share * (means - means.mean()), within + between * (1 - share)
