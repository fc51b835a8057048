"""Growth of time with n = m in three dimensions at a fixed sigma, pruned and dense."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from benchmarks.harness import Rounds, Target, measure
from benchmarks.methods import measure_accuracy
from benchmarks.problems import LogSumProblem, cube
from benchmarks.topics.pruned import true_log_sums_of_all_rows
from layerbits.mixtures import mixture_log_density

MAX_EXPONENT = 1.3

_METHODS = ("dense", "pruned")


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Median seconds of each method by size, and the fitted exponents of n."""

    sizes: tuple[int, ...]
    seconds: dict[str, tuple[float, ...]]
    exponents: dict[str, float]


def measure_scaling(sizes: Sequence[int], *, rounds: Rounds) -> Scaling:
    """Time both methods at every size, and fit a power law by least squares of the logarithms."""
    seconds: dict[str, list[float]] = {method: [] for method in _METHODS}
    for size in sizes:
        problem = cube(size)
        calls = {
            method: partial(mixture_log_density, problem.points, problem.centers, problem.sigma, method=method)
            for method in _METHODS
        }
        rounds_of_size = measure(calls, partial(_check, problem), rounds=rounds)
        for method in _METHODS:
            seconds[method].append(statistics.median(rounds_of_size[method]))
    exponents = {method: float(np.polyfit(np.log(sizes), np.log(times), 1)[0]) for method, times in seconds.items()}
    return Scaling(tuple(sizes), {method: tuple(times) for method, times in seconds.items()}, exponents)


def _check(problem: LogSumProblem, results: dict[str, Tensor]) -> None:
    true = true_log_sums_of_all_rows(problem)
    for name, values in results.items():
        measure_accuracy(name, values, problem, true, values.dtype)


def targets(scaling: Scaling) -> Iterator[Target]:
    yield Target("pruned, exponent of n = m", scaling.exponents["pruned"], MAX_EXPONENT, at_most=True)


def lines(scaling: Scaling) -> Iterator[str]:
    yield f"{'seconds at n = m, d = 3':<31}" + "".join(f"{size:>11}" for size in scaling.sizes) + f"{'exponent':>11}"
    for method, times in scaling.seconds.items():
        yield f"{method:<31}" + "".join(f"{time:>11.4f}" for time in times) + f"{scaling.exponents[method]:>11.2f}"
