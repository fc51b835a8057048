"""`WidthCauses`: the parts of the width of an interval between two bounds, by their cause."""

from __future__ import annotations

import dataclasses

from layerbits.statistics import Interval

NO_DIMENSIONS = Interval(0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class WidthCauses:
    """The causes of the width of any interval of a quantity, from its bounds.

    Attributes
    ----------
    bounds : Interval
        The mean of the bound below and that of the bound above, without omitted dimensions.
    cause_of_gap : str
        The cause of the gap between the bounds beyond `bias`.
    bias : float
        The part of the gap that is due to the draws.
    dimensions : Interval
        The part of the upper end that the omitted dimensions add.
    """

    bounds: Interval
    cause_of_gap: str
    bias: float = 0.0
    dimensions: Interval = NO_DIMENSIONS

    def main_of(self, interval: Interval) -> str:
        """Return the cause of the largest part of an interval's width; queries cause the remaining part.

        Only the part of a gap in the interval counts. The result is empty if the ends are equal.
        """
        width = interval.upper - interval.lower
        if width == 0:
            return ""
        gap = interval.overlap(self.bounds.lower, self.bounds.upper)
        by_dimensions = interval.overlap(self.dimensions.lower, self.dimensions.upper)
        by_draws = min(self.bias, gap)
        causes = {"queries": width - gap - by_dimensions, "draws": by_draws, "dimensions": by_dimensions}
        causes[self.cause_of_gap] = causes.get(self.cause_of_gap, 0.0) + gap - by_draws
        return max(causes, key=causes.__getitem__)
