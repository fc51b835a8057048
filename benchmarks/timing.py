"""Clocks: warm-up and check first, then interleaved rounds, so that a disturbance of the machine meets all methods."""

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


@dataclasses.dataclass(frozen=True)
class Rounds:
    """How often all methods take turns, and how long a turn lasts at least.

    Threads of the method before go on waiting in a loop for some 0.2 s, which must not decide a turn. On a busy
    machine, where torch's threads wait for each other, no new round begins after `most_seconds`.
    """

    repeats: int
    least_seconds: float = 0.3
    most_seconds: float = 15.0


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median over rounds with the smallest and the largest value."""

    median: float
    lower: float
    upper: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lower:.3g}..{self.upper:.3g})"


def measure(
    calls: Mapping[Name, Callable[[], Result]], check: Callable[[dict[Name, Result]], None], rounds: Rounds
) -> dict[Name, list[float]]:
    """Return seconds per call, of every round; `check` sees what the calls return before any is timed."""
    results: dict[Name, Result] = {}
    loops: dict[Name, int] = {}
    for name, call in calls.items():
        started = time.perf_counter()
        results[name] = call()
        loops[name] = max(1, math.ceil(rounds.least_seconds / (time.perf_counter() - started)))
    check(results)
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + rounds.most_seconds
    for done in range(rounds.repeats):
        if done and time.perf_counter() > end:
            break
        for name, call in calls.items():
            seconds[name].append(_time(call, loops[name]))
    return seconds


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as long theirs takes, round by round."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return Spread(statistics.median(ratios), min(ratios), max(ratios), len(ratios))


def fastest_chunk(call: Callable[[int], object]) -> int:
    """Return the chunk that serves a rival best on this machine, of two tries each."""
    call(CHUNKS[0])
    tries = [{chunk: _time(partial(call, chunk), loops=1) for chunk in CHUNKS} for _ in range(2)]
    return min(CHUNKS, key=lambda chunk: min(one[chunk] for one in tries))


def page_faults(call: Callable[[], object]) -> int:
    """Return how many pages the system had to map for a call: what large temporaries cost beside their arithmetic."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _time(call: Callable[[], object], loops: int) -> float:
    if loops > 1:
        call()  # caches and threads are those of the method before
    started = time.perf_counter()
    for _ in range(loops):
        call()
    return (time.perf_counter() - started) / loops
