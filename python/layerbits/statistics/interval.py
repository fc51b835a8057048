"""Confidence intervals."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Interval:
    """A confidence interval, in nats.

    Attributes
    ----------
    lower, upper : float
        Ends of the interval.
    """

    lower: float
    upper: float

    @property
    def half_width(self) -> float:
        """Half of the distance between the ends."""
        return (self.upper - self.lower) / 2

    def overlap(self, lower: float, upper: float) -> float:
        """Return the length of the part of [lower, upper] that lies in the interval; 0 if the ends cross."""
        return max(0.0, min(self.upper, upper) - max(self.lower, lower))

    def shifted(self, constant: float) -> Interval:
        """Return the interval moved by a constant."""
        return Interval(self.lower + constant, self.upper + constant)

    def clipped(self, lower: float, upper: float) -> Interval:
        """Return the interval with both ends moved into [lower, upper], and 0.0 in place of -0.0."""
        return Interval(min(max(self.lower, lower), upper) + 0.0, max(min(self.upper, upper), lower) + 0.0)
