"""Certified ends of an information from decoder terms and confusions at the pilot queries and at the final queries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from layerbits._base import Doubles
from layerbits.estimators.risk_shares import RiskShares
from layerbits.estimators.two_sided_estimate import Point, TwoSidedEstimate
from layerbits.estimators.width_causes import WidthCauses
from layerbits.statistics import Interval, lower_mean_bound, mix_with_prior, unseen_probability

# Name of the decoder in the estimates, and the cause of the gap between the bounds.
DECODER, CAUSE_OF_GAP = "known network", "samples"


@dataclasses.dataclass(frozen=True)
class InformationTerms:
    """The terms of an information.

    Attributes
    ----------
    decoder : sequence of arrays
        log(q(x|t) / p(x)) at the pilot queries, then for each final pass.
    confusions : sequence of arrays
        Confusions L of `terms`, at least 0, at the same queries.
    ceiling : float
        Largest possible value of the information, in nats.
    risk : float
        Probability with which each end may be wrong.
    """

    decoder: Sequence[Doubles]
    confusions: Sequence[Doubles]
    ceiling: float
    risk: float

    def interval(self, lower_risk: float, upper_risk: float) -> Interval:
        """Return the interval whose ends have these risks."""
        ends = Interval(self._lower_end(self.decoder, lower_risk), self._upper_end(upper_risk))
        return ends.clipped(0.0, self.ceiling)

    def estimate(self, shares: RiskShares) -> TwoSidedEstimate:
        """Return the estimate, whose ends have shares of the risk."""
        interval = self.interval(shares.lower * self.risk, shares.upper * self.risk)
        lent = self.interval(shares.lent * self.risk, shares.lent * self.risk) if shares.lent else None
        decoded, confusion = (np.concatenate(list(terms[1:])) for terms in (self.mixed_decoder, self.confusions))
        lower, upper = float(decoded.mean()), self.ceiling - float(confusion.mean())
        errors = standard_error(decoded), standard_error(confusion)
        bounds = Interval(min(lower, upper), max(lower, upper))
        causes = WidthCauses(Interval(lower, upper), CAUSE_OF_GAP)
        separated = [np.full_like(terms, self.ceiling) for terms in self.decoder]
        return TwoSidedEstimate(
            interval=interval,
            plug_in=upper,
            plug_in_error=errors[1],
            decoded=lower,
            decoded_error=errors[0],
            decoder=DECODER,
            limited_by=causes.main_of(interval),
            point=Point(Interval(lower, upper), sum(errors) / 2, bounds),
            separated_lower=self._lower_end(separated, shares.lower * self.risk),
            lent=lent,
            causes=causes,
        )

    @property
    def mixed_decoder(self) -> list[Doubles]:
        """The terms of the decoder mixed with the prior, as they enter the lower end."""
        return self._mixed(self.decoder)

    @property
    def _prior_weight(self) -> float:
        return unseen_probability(sum(map(len, self.decoder[1:])), self.risk)

    def _mixed(self, terms: Sequence[Doubles]) -> list[Doubles]:
        prior_weight = self._prior_weight
        return [mix_with_prior(values, prior_weight) for values in terms]

    def _lower_end(self, terms: Sequence[Doubles], risk: float) -> float:
        lower_limit = math.log(self._prior_weight)
        return lower_mean_bound(self._mixed(terms), lower_limit=lower_limit, upper_limit=self.ceiling, risk=risk)

    def _upper_end(self, risk: float) -> float:
        # E L is at most H(X|T), H(Y|T) or H(X|T, Y), and so at most the ceiling.
        return self.ceiling - lower_mean_bound(self.confusions, lower_limit=0.0, upper_limit=self.ceiling, risk=risk)


def standard_error(terms: Doubles) -> float:
    """Return the standard error of the mean of independent terms; NaN for a single term."""
    return float(terms.std(ddof=1)) / math.sqrt(len(terms)) if len(terms) > 1 else math.nan
