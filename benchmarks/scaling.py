"""How time grows with n = m, three dimensions and a fixed sigma, pruned and dense."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from benchmarks.accuracy import accuracy
from benchmarks.problems import Problem, cube
from benchmarks.pruned import truth_of_all_rows
from benchmarks.targets import Target
from benchmarks.timing import Rounds, measure
from layerbits.mixtures import mixture_log_density

MOST_EXPONENT = 1.3

_METHODS = ("dense", "pruned")


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Median seconds of each method by size; the fitted exponents of n."""

    sizes: tuple[int, ...]
    seconds: dict[str, tuple[float, ...]]
    exponents: dict[str, float]


def measure_scaling(sizes: Sequence[int], *, rounds: Rounds) -> Scaling:
    """Time both methods at every size and fit a power law by least squares of the logarithms."""
    seconds: dict[str, list[float]] = {method: [] for method in _METHODS}
    for size in sizes:
        problem = cube(size)
        calls = {
            method: partial(mixture_log_density, problem.points, problem.centers, problem.sigma, method=method)
            for method in _METHODS
        }
        found = measure(calls, partial(_check, problem), rounds=rounds)
        for method in _METHODS:
            seconds[method].append(statistics.median(found[method]))
    exponents = {name: float(np.polyfit(np.log(sizes), np.log(each), 1)[0]) for name, each in seconds.items()}
    return Scaling(tuple(sizes), {name: tuple(each) for name, each in seconds.items()}, exponents)


def _check(problem: Problem, results: dict[str, Tensor]) -> None:
    exact = truth_of_all_rows(problem)
    for name, values in results.items():
        accuracy(name, values, problem, exact, values.dtype)


def targets(scaling: Scaling) -> Iterator[Target]:
    yield Target("pruned, exponent of n = m", scaling.exponents["pruned"], MOST_EXPONENT, at_most=True)


def lines(scaling: Scaling) -> Iterator[str]:
    yield f"{'seconds at n = m, d = 3':<31}" + "".join(f"{size:>11}" for size in scaling.sizes) + f"{'exponent':>11}"
    for name, seconds in scaling.seconds.items():
        yield f"{name:<31}" + "".join(f"{each:>11.4f}" for each in seconds) + f"{scaling.exponents[name]:>11.2f}"
