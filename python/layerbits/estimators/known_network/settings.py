"""The options of a measurement with the known network."""

from __future__ import annotations

import dataclasses
import math

from layerbits.estimators.known_network.linear_models import JACOBIANS
from layerbits.estimators.risk_shares import UNDIVIDED, RiskShares
from layerbits.networks import MAX_MEMORY
from layerbits.statistics import Interval

_ALL_VALUES = Interval(-math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class OtherEstimate:
    """I(X;T) by another estimator, which the known network is to improve, in nats.

    Attributes
    ----------
    interval : Interval
        The interval; its ends are taken where they are better.
    width : float
        Width of the interval that the other estimator would give with more work.
    """

    interval: Interval = _ALL_VALUES
    width: float = math.inf

    def is_improved_by(self, interval: Interval) -> bool:
        """Return whether the better ends of both intervals leave at most the width that more work would leave."""
        width = min(self.interval.upper, interval.upper) - max(self.interval.lower, interval.lower)
        return width <= self.width


NO_OTHER = OtherEstimate()


@dataclasses.dataclass(frozen=True)
class KnownNetworkSettings:
    """The effort of a measurement; every choice that the pilot leaves open is fixed here, before the first query.

    Attributes
    ----------
    queries : int
        Number of final queries; a multiple of N, rounded down, if it is at least N.
    pilot_queries : int
        Number of other queries, which choose the samples, the decoder and the first stakes; at least 2.
    samples : int
        Largest number of samples of a query that are divided among the inputs.
    most_queries : int
        Largest number of final queries. If it is larger than `queries`, which are then whole passes, the pilot may
        choose more passes, with other numbers of samples: their work beyond that of `queries` is at most that of
        fitting the linear models.
    max_memory : int
        Budget in bytes.
    shares : RiskShares
        How the risk of the ends of an information is divided.
    least_share : float
        Inputs get no sample where their posterior probability by the linear models, times N, is below this.
    jacobians : int
        Number of Jacobians of an input.
    chains : bool
        Whether chains may take the place of samples; they take several times as long.
    other : OtherEstimate
        The measurement ends without a result if the pilot expects ends of I(X;T) that do not improve this estimate.
    """

    queries: int = 1024
    pilot_queries: int = 128
    samples: int = 1024
    most_queries: int = 0
    max_memory: int = MAX_MEMORY
    shares: RiskShares = UNDIVIDED
    least_share: float = 1e-3
    jacobians: int = JACOBIANS
    chains: bool = True
    other: OtherEstimate = NO_OTHER
