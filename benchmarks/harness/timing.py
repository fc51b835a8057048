"""Time methods alternately, so that a busy machine slows every method equally."""

from __future__ import annotations

import dataclasses
import math
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

Name = TypeVar("Name")
Result = TypeVar("Result")

CHUNKS = (64, 256, 1024)
"""Numbers of query rows that `fastest_chunk` tries."""
DEFAULT_CHUNK = 256
"""Number of query rows where the fastest chunk is not measured."""


@dataclasses.dataclass(frozen=True)
class Rounds:
    """Limits of a measurement.

    Attributes
    ----------
    repeats : int
        Largest number of rounds. In each round every method runs once or several times.
    min_seconds : float
        Least seconds of a method per round. The default exceeds the 0.2 s for which threads of other libraries spin
        after a call. The second call of the method sets its number of calls; the first call may compile.
    max_seconds : float
        No round begins after this time, but the first round always runs. On a busy machine torch's threads wait for
        each other.
    """

    repeats: int
    min_seconds: float = 0.3
    max_seconds: float = 15.0


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum over `rounds` rounds."""

    median: float
    minimum: float
    maximum: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.minimum:.3g}..{self.maximum:.3g})"


def measure(
    calls: Mapping[Name, Callable[[], Result]], check: Callable[[dict[Name, Result]], None], rounds: Rounds
) -> dict[Name, list[float]]:
    """Return the seconds per call of each method in each round.

    `check` receives the results of the first calls, and raises an error if they are wrong; then no method is timed.
    """
    results: dict[Name, Result] = {}
    for name, call in calls.items():
        results[name] = call()
    check(results)
    loops = {name: _loops(call, rounds.min_seconds) for name, call in calls.items()}
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + rounds.max_seconds
    for i in range(rounds.repeats):
        if i > 0 and time.perf_counter() > end:
            break
        for name, call in calls.items():
            seconds[name].append(_time(call, loops[name]))
    return seconds


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the spread of the ratios, one for each round."""
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    return Spread(statistics.median(ratios), min(ratios), max(ratios), len(ratios))


def fastest_chunk(call: Callable[[int], object]) -> int:
    """Return the element of CHUNKS with which `call` is fastest on this machine; each element is timed twice."""
    call(CHUNKS[0])
    trials = [{chunk: _time(partial(call, chunk), loops=1) for chunk in CHUNKS} for _ in range(2)]
    return min(CHUNKS, key=lambda chunk: min(trial[chunk] for trial in trials))


def page_faults(call: Callable[[], object]) -> int:
    """Return the number of minor page faults of a call, which large temporary arrays cause."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _loops(call: Callable[[], object], min_seconds: float) -> int:
    return max(1, math.ceil(min_seconds / _time(call, loops=1))) if min_seconds > 0 else 1


def _time(call: Callable[[], object], loops: int) -> float:
    if loops > 1:
        call()  # after the previous method the caches hold its data and its threads are still spinning
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return (time.perf_counter() - start) / loops
