"""More draws and queries for a layer, where they help most, until the interval of I(X;T) is as narrow as asked."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence

from layerbits._base import Integers
from layerbits.estimators.intervals import TwoSidedEstimate
from layerbits.estimators.measurement import measure
from layerbits.estimators.sampling import LayerSample
from layerbits.kernels import stream

# Stream of random numbers; see `layerbits.estimators.measurement` for the others.
_ROUND_STREAM = 5

# Queries of all inputs at a layer behind no noise, where nothing else bounds them: half a gigabyte of terms.
_MOST_QUERIES = 2**22


@dataclasses.dataclass(frozen=True)
class Goal:
    """The half width in nats that the interval shall have, the most draws, and until when (`time.monotonic`)."""

    tolerance: float
    max_draws: int
    max_seconds: float
    deadline: float

    def limit(self, seconds: float, effort: tuple[int, int], more: tuple[int, int]) -> str:
        """Return what forbids another round of (draws, queries), after one that took so long; empty if nothing does."""
        if more == effort:
            return f"max_draws {self.max_draws}" if effort[0] > 1 else f"{effort[1]} queries of an input"
        late = time.monotonic() + seconds * math.prod(more) / math.prod(effort) > self.deadline
        return f"max_seconds {self.max_seconds:g}" if late else ""


def refine(
    samples: Sequence[LayerSample],
    sample: Callable[[int, int, int], Sequence[LayerSample]],
    classes: Integers | None,
    goal: Goal | None,
    risk: float,
    key: tuple[int, int],
    report: Callable[[str], object],
) -> tuple[LayerSample, dict[str, TwoSidedEstimate], str]:
    """Measure a layer, again and again with a goal: what was measured last, its brackets, and why it fell short.

    Intervals of several rounds share the risk, 6 / (pi k)^2 of it for round k, so that one may stop anywhere. Each
    round has a seed of its own, for how large it is depends on what the one before showed. `sample` takes the seed,
    draws and queries; `key` is the first seed and the number of the layer.
    """
    began = time.monotonic()
    first, place = key
    more = _effort(samples[0])
    for number in itertools.count(1):
        share = 1.0 if goal is None else 6 / (math.pi * number) ** 2
        seed = first if number == 1 else int(stream(first, _ROUND_STREAM, number).integers(2**62))
        if number > 1:
            samples = sample(seed, *more)
        brackets = measure(samples, classes, share * risk, (seed, place))
        found, last = brackets["I(X;T)"], samples[0]
        report(f"{found.lower:.3f} to {found.upper:.3f} nats, {last.signals.shape[1]} draws")
        if goal is None or (found.upper - found.lower) / 2 <= goal.tolerance:
            break
        more = _more(last, found, goal.max_draws)
        limit = goal.limit(time.monotonic() - began, _effort(last), more)
        if limit:
            limit = "any number of draws" if found.limited_by == "dimensions" else limit
            shortfall = f"tolerance {goal.tolerance:g} not reached within {limit}: held back by {found.limited_by}"
            return last, brackets, shortfall
        began = time.monotonic()  # passes through the network take time too
    return last, brackets, ""


def _effort(sample: LayerSample) -> tuple[int, int]:
    return sample.signals.shape[1], sample.queries


def _more(sample: LayerSample, found: TwoSidedEstimate, max_draws: int) -> tuple[int, int]:
    """Return the draws and queries of the next round; those of the last one, if there may be no more."""
    draws, queries = _effort(sample)
    if found.limited_by == "dimensions":
        return draws, queries
    if sample.is_exact:
        return (1, 2 * queries) if 2 * queries * len(sample.signals) <= _MOST_QUERIES else (1, queries)
    if found.limited_by == "queries":
        queries = max(queries, min(2 * queries, max_draws // 2))
        draws = max(draws, 2 * queries)
    else:
        draws = max(draws, min(2 * draws, max_draws))
    return draws, queries
