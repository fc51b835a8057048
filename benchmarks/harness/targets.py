"""Targets: measured numbers beside wanted numbers.

The comparison reports targets and does not enforce them; `benchmarks.guard` fails if a kernel is too slow.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Target:
    """A measured number that should be at least `wanted`, or at most `wanted` with `at_most`."""

    name: str
    measured: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted

    def __str__(self) -> str:
        relation = "at most" if self.at_most else "at least"
        verdict = "met" if self.met else "MISSED"
        return f"{verdict:<8}{self.name}: {self.measured:.3g}, wanted {relation} {self.wanted:g}"
