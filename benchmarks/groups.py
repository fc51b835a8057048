"""Ragged groups, each query against the centers of its own group alone, beside our own dense rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks import rivals
from benchmarks.accuracy import accuracy
from benchmarks.calls import group_call
from benchmarks.problems import groups, mixture, truth
from benchmarks.rivals import Doubles
from benchmarks.targets import Target
from benchmarks.timing import Rounds, Spread, measure, ratio
from layerbits.kernels import as_sigma, log_sum_exp_isotropic

LEAST_OF_DENSE = 0.5


@dataclasses.dataclass(frozen=True)
class GroupRow:
    """Our pair rate over that of the dense kernel in the same dimension; time of the rivals over ours."""

    problem: str
    dtype: str
    of_dense: Spread
    over_torch: Spread
    over_numpy: Spread


def measure_groups(count: int, dtype: torch.dtype, *, n: int, m: int, rounds: Rounds) -> GroupRow:
    """Compare `count` groups with the dense kernel at n centers and m points, and with the rivals."""
    problem, dense = groups(count), mixture(n, m, 3).to(dtype)
    exact, given = truth(problem), problem.to(dtype)

    def check(results: dict[str, Tensor | Doubles]) -> None:
        accuracy("layerbits", results["layerbits"], problem, exact, dtype)

    seconds = measure(
        {
            "layerbits": group_call(given),
            "dense": partial(log_sum_exp_isotropic, dense.points, dense.centers, as_sigma(dense.sigma), method="dense"),
            "torch": partial(rivals.torch_log_sums_of_groups, given),
            "numpy": partial(rivals.numpy_log_sums_of_groups, problem),
        },
        check,
        rounds=rounds,
    )
    pairs = problem.pairs / dense.pairs
    return GroupRow(
        problem.name,
        str(dtype).removeprefix("torch."),
        of_dense=ratio([pairs * each for each in seconds["dense"]], seconds["layerbits"]),
        over_torch=ratio(seconds["torch"], seconds["layerbits"]),
        over_numpy=ratio(seconds["numpy"], seconds["layerbits"]),
    )


def targets(rows: Sequence[GroupRow]) -> Iterator[Target]:
    for row in rows:
        yield Target(f"{row.problem}, {row.dtype}, of the dense rate", row.of_dense.median, LEAST_OF_DENSE)


def lines(rows: Sequence[GroupRow]) -> Iterator[str]:
    yield f"{'groups of 32 x 32':<31}{'rate / dense rate':>22}{'x torch, one batch':>22}{'x numpy, a loop':>22}"
    for row in rows:
        yield f"{row.problem:<22}{row.dtype:<9}{row.of_dense!s:>22}{row.over_torch!s:>22}{row.over_numpy!s:>22}"
