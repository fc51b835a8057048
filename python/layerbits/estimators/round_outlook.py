"""Draws and queries of a round, and the expected course of further rounds of a layer.

The width of an interval has two parts. The gap between the two bounds falls with the number of draws; the rest is due
to queries and falls like n^(-1/2). The expected course only decides which layer has the next round, and whether a round
fits into the time that is left: what a round measures does not depend on it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

# A gap of unknown rate is expected to fall like draws^(-1/2), halfway between no fall and the first order of a bias.
_UNKNOWN_EXPONENT = 0.5


@dataclasses.dataclass(frozen=True)
class Effort:
    """Noisy passes and queries per input; one pass behind no noise."""

    draws: int
    queries: int

    def larger(self, limited_by: str, max_draws: int, max_queries: int) -> Effort:
        """Return the effort of the next round.

        `limited_by` is the main cause of the width of the interval, as in `TwoSidedEstimate`. The effort stays the same
        if a limit is reached, or if no effort helps: random frames, and omitted dimensions behind no noise. Behind
        noise, more draws show more of the dimensions.
        """
        if limited_by == "frames" or (limited_by == "dimensions" and self.draws == 1):
            return self
        if self.draws == 1:
            return Effort(1, 2 * self.queries) if 2 * self.queries <= max_queries else self
        if limited_by == "queries":
            queries = max(self.queries, min(2 * self.queries, max_draws // 2))
            return Effort(max(self.draws, 2 * queries), queries)
        return Effort(max(self.draws, min(2 * self.draws, max_draws)), self.queries)


@dataclasses.dataclass(frozen=True)
class Round:
    """A finished round.

    Attributes
    ----------
    effort : Effort
        Draws and queries.
    half_width : float
        Half width of the interval of I(X;T).
    gap : float
        Distance between the two bounds within the interval, in nats.
    limited_by : str
        Main cause of the width of the interval.
    risk : float
        Probability with which each end may be wrong.
    seconds_of_passes, seconds_of_estimates : float
        Time of the passes, which the layers of a group share in the first round, and of the estimates.
    """

    effort: Effort
    half_width: float
    gap: float
    limited_by: str
    risk: float
    seconds_of_passes: float
    seconds_of_estimates: float

    @property
    def seconds(self) -> float:
        """Time of a round alone."""
        return self.seconds_of_passes + self.seconds_of_estimates

    def seconds_with(self, effort: Effort) -> float:
        """Return the expected time of a round with other draws and queries.

        The time of the passes grows like the draws, and that of the estimates like the pairs of a draw and a query.
        """
        growth_of_draws = effort.draws / self.effort.draws
        growth_of_pairs = growth_of_draws * effort.queries / self.effort.queries
        return self.seconds_of_passes * growth_of_draws + self.seconds_of_estimates * growth_of_pairs


@dataclasses.dataclass(frozen=True)
class Outlook:
    """The expected course of the further rounds of a layer.

    Attributes
    ----------
    seconds : float
        Time of the next round.
    seconds_to_tolerance : float
        Time of all rounds until the interval is narrow enough; infinite if no allowed number of draws suffices.
    reduction : float
        Amount by which the next round narrows the half width, in nats, down to the tolerance at most.
    has_known_rate : bool
        Whether it is known how fast the interval narrows, by theory or by the rounds.
    """

    seconds: float
    seconds_to_tolerance: float
    reduction: float
    has_known_rate: bool

    @classmethod
    def of(
        cls,
        rounds: Sequence[Round],
        larger: Callable[[Effort, str], Effort],
        risks: Callable[[int], float],
        tolerance: float,
    ) -> Outlook:
        """Return the outlook after some rounds.

        Parameters
        ----------
        rounds : sequence of Round
            The finished rounds.
        larger : callable
            Returns the effort of a round from the effort before and the main cause of the width.
        risks : callable
            Returns the risk of a round of a given number.
        tolerance : float
            Wanted half width.
        """
        exponent = _gap_exponent(rounds)
        course = _course(rounds, larger, risks, tolerance, exponent or 0.0)
        has_known_rate = exponent is not None or math.isfinite(course.seconds_to_tolerance)
        if not has_known_rate:
            course = _course(rounds, larger, risks, tolerance, _UNKNOWN_EXPONENT)
        return dataclasses.replace(course, has_known_rate=has_known_rate)


def _gap_exponent(rounds: Sequence[Round]) -> float | None:
    """Return b if the gap is expected to fall like draws^(-b), from the last round with more draws.

    After the first round b = 1 if the draws limit the width, the first order of the bias of the plug-in. No rate is
    known for the gap of a decoder: the result is then None.
    """
    for before, last in reversed(list(itertools.pairwise(rounds))):
        if last.effort.draws > before.effort.draws and min(before.gap, last.gap) > 0:
            exponent = math.log(before.gap / last.gap) / math.log(last.effort.draws / before.effort.draws)
            return min(max(exponent, 0.0), 1.0)
    return 1.0 if rounds[-1].limited_by == "draws" else None


def _course(
    rounds: Sequence[Round],
    larger: Callable[[Effort, str], Effort],
    risks: Callable[[int], float],
    tolerance: float,
    exponent: float,
) -> Outlook:
    """Return the outlook of rounds until the tolerance or a limit, for a gap that falls like draws^(-exponent)."""
    last = rounds[-1]
    effort, gap, total = last.effort, last.gap, 0.0
    by_queries = max(0.0, 2 * last.half_width - gap) / math.sqrt(-math.log(last.risk))
    limited_by, half_width, first = last.limited_by, last.half_width, None
    cause_of_gap = last.limited_by if last.limited_by != "queries" else "draws"
    for number in itertools.count(len(rounds) + 1):
        larger_effort = larger(effort, limited_by)
        if larger_effort == effort:
            total = math.inf
            break
        seconds = last.seconds_with(larger_effort)
        total += seconds
        gap *= (larger_effort.draws / effort.draws) ** -exponent
        by_queries *= math.sqrt(effort.queries / larger_effort.queries)
        width_by_queries = by_queries * math.sqrt(-math.log(risks(number)))
        effort, half_width = larger_effort, (gap + width_by_queries) / 2
        first = first or (seconds, half_width)
        if half_width <= tolerance:
            break
        limited_by = "queries" if width_by_queries >= gap else cause_of_gap
    next_seconds, next_half_width = first or (math.inf, last.half_width)
    reduction = max(0.0, last.half_width - max(tolerance, next_half_width))
    return Outlook(next_seconds, total, reduction, has_known_rate=True)
