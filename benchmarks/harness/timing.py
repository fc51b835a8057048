"""Timing of several methods in turns: every round runs all methods, so that a busy machine slows all of them."""

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


@dataclasses.dataclass(frozen=True)
class Rounds:
    """Limits of a measurement.

    Attributes
    ----------
    repeats : int
        Largest number of rounds; in each round every method runs once or several times.
    min_seconds : float
        Length of a turn of a method, by the time of its first call. After a call, threads of other libraries spin for
        about 0.2 s, and a turn must be longer than that.
    max_seconds : float
        After this time no round begins except the first: on a busy machine torch's threads wait for each other.
    """

    repeats: int
    min_seconds: float = 0.3
    max_seconds: float = 15.0


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum over rounds."""

    median: float
    lower: float
    upper: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lower:.3g}..{self.upper:.3g})"


def measure(
    calls: Mapping[Name, Callable[[], Result]], check: Callable[[dict[Name, Result]], None], rounds: Rounds
) -> dict[Name, list[float]]:
    """Return the seconds per call of each method in each round.

    Every method runs once before the first round. `check` receives these results and raises an error if they are
    wrong; then no method is timed.
    """
    results: dict[Name, Result] = {}
    loops: dict[Name, int] = {}
    for name, call in calls.items():
        start = time.perf_counter()
        results[name] = call()
        loops[name] = max(1, math.ceil(rounds.min_seconds / (time.perf_counter() - start)))
    check(results)
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
    """Return the element of CHUNKS with which `call` is fastest on this machine; each is timed twice."""
    call(CHUNKS[0])
    trials = [{chunk: _time(partial(call, chunk), loops=1) for chunk in CHUNKS} for _ in range(2)]
    return min(CHUNKS, key=lambda chunk: min(trial[chunk] for trial in trials))


def page_faults(call: Callable[[], object]) -> int:
    """Return the number of pages that the system maps during a call; large temporary arrays cause them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _time(call: Callable[[], object], loops: int) -> float:
    if loops > 1:
        call()  # after the previous method the caches hold its data and its threads are still spinning
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return (time.perf_counter() - start) / loops
