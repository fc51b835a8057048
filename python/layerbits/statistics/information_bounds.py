"""Confidence intervals of an information whose channel is known, and the tools of bets on decoders."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from layerbits._base import Doubles
from layerbits.statistics.interval import Interval
from layerbits.statistics.mean_bounds import lower_mean_bound, upper_mean_bound

# More passes would improve the stakes of later ones, and narrow an interval by some two hundredths only.
_MAX_PASSES = 64


@dataclasses.dataclass(frozen=True)
class Bets:
    """The part of a betting interval that is fixed before the first pass.

    Attributes
    ----------
    risk : float
        Probability with which either end may be wrong.
    prior_weight : float
        Weight of the prior in the decoder of the lower end.
    fixed_count : bool
        Whether the number of terms is fixed as well. Otherwise the passes may end at any time, for any reason.
    """

    risk: float
    prior_weight: float
    fixed_count: bool

    @classmethod
    def of_count(cls, count: int, risk: float) -> Bets:
        """Return the bets on a fixed number of terms."""
        return cls(risk, unseen_probability(count, risk), fixed_count=True)


def unseen_probability(n: int, risk: float) -> float:
    """Return the probability -log(risk) / n, at most 1/2, of an event that n trials miss with probability `risk`."""
    return min(0.5, -math.log(risk) / n)


def mix_with_prior(terms: Doubles, weight: float) -> Doubles:
    """Compute the terms log(q(x|t) / p(x)) of a decoder q after mixing it, with a weight, with the prior p(x).

    The terms are then at least log(weight), and smaller by -log(1 - weight), about `weight` nats, at most.
    """
    mixed: Doubles = np.logaddexp(terms + math.log1p(-weight), math.log(weight))
    return mixed


def split_passes(terms: Doubles) -> list[Doubles]:
    """Split terms (n, q) into passes over all n inputs, each of one column, or of several where q exceeds 64."""
    return [columns.ravel() for columns in np.array_split(terms, min(terms.shape[1], _MAX_PASSES), axis=1)]


def information_interval(passes: Sequence[Doubles], *, ceiling: float, largest_term: float, bets: Bets) -> Interval:
    """Compute a confidence interval of an information from terms of a known channel, in nats.

    Parameters
    ----------
    passes : sequence of arrays of shape (n_k, q_k)
        Terms log(p(t|x) / p(t)), or of another information. The rows of a pass are independent, given the earlier
        passes, and their means have the information as the mean of their expectations. The first pass is the pilot,
        which only sets stakes.
    ceiling : float
        An upper bound of the information.
    largest_term : float
        An upper bound of every term, but for rounding.
    bets : Bets
        Fixed before the first pass.

    Returns
    -------
    Interval
        Within [0, ceiling].

    Notes
    -----
    Each end is a betting bound, which holds for any number of terms. The true posterior is the decoder of the lower end
    (Barber and Agakov, The IM Algorithm, 2003), mixed with the prior so that its terms have a lower bound.
    """
    bounded = [np.minimum(terms, largest_term) for terms in passes]
    decoder_means = [mix_with_prior(terms, bets.prior_weight).mean(1) for terms in bounded]
    means = [terms.mean(1) for terms in bounded]
    floor = math.log(bets.prior_weight)
    lower = lower_mean_bound(decoder_means, floor=floor, ceiling=ceiling, risk=bets.risk, fixed_count=bets.fixed_count)
    upper = upper_mean_bound(means, floor=0.0, ceiling=largest_term, risk=bets.risk, fixed_count=bets.fixed_count)
    return Interval(lower, upper).clipped(0.0, ceiling)
