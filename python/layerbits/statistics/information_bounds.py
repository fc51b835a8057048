"""Confidence intervals of an information from terms of a known channel, and the tools of bets on decoders."""

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


@dataclasses.dataclass(frozen=True)
class BetPass:
    """The independent terms of one pass, in nats, as made by `InformationBet.pass_of`.

    Attributes
    ----------
    terms : array of shape (m,)
        Terms log(p(t|x) / p(t)), or those of another information.
    decoder_terms : array of shape (m,)
        The same after mixing the posterior with the prior, which bounds them from below.
    """

    terms: Doubles
    decoder_terms: Doubles


@dataclasses.dataclass(frozen=True)
class InformationBet:
    """A confidence interval of an information by betting; the fields are fixed before the first pass.

    Attributes
    ----------
    ceiling : float
        An upper bound of the information, in nats.
    largest_term : float
        An upper bound of every term, but for rounding.
    risk : float
        Probability with which either end may be wrong.
    prior_weight : float
        Weight of the prior in the decoder of the lower end.
    fixed_count : bool
        Whether the number of terms is fixed too. Otherwise the passes may end at any time, for any reason.
    """

    ceiling: float
    largest_term: float
    risk: float
    prior_weight: float
    fixed_count: bool

    def pass_of(self, terms: Doubles) -> BetPass:
        """Return the pass of terms (q, m), independent along the second axis; those along the first are averaged."""
        bounded = np.minimum(terms, self.largest_term)
        return BetPass(bounded.mean(0), mix_with_prior(bounded, self.prior_weight).mean(0))

    def interval(self, passes: Sequence[BetPass]) -> Interval:
        """Compute the interval, within [0, ceiling].

        Parameters
        ----------
        passes : sequence of BetPass
            The first pass is the pilot, which only sets stakes. The terms of a pass are independent given the earlier
            passes, and the mean of their expectations is the information.

        Notes
        -----
        Both ends are betting bounds, which hold for any number of terms. The decoder of the lower end is the true
        posterior (Barber and Agakov, The IM Algorithm, 2003), mixed with the prior so that its terms have a lower
        bound.
        """
        lower = lower_mean_bound(
            [x.decoder_terms for x in passes],
            floor=math.log(self.prior_weight),
            ceiling=self.ceiling,
            risk=self.risk,
            fixed_count=self.fixed_count,
        )
        upper = upper_mean_bound(
            [x.terms for x in passes],
            floor=0.0,
            ceiling=self.largest_term,
            risk=self.risk,
            fixed_count=self.fixed_count,
        )
        return Interval(lower, upper).clipped(0.0, self.ceiling)
