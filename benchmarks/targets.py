"""What was promised, beside what was found. Reported, not enforced: `benchmarks.guard` is what fails."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Target:
    """A number that shall be at least, or with `at_most` at most, `wanted`."""

    what: str
    found: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted

    def __str__(self) -> str:
        relation = "at most" if self.at_most else "at least"
        return f"{'met' if self.met else 'MISSED':<8}{self.what}: {self.found:.3g}, wanted {relation} {self.wanted:g}"
