"""Log-sums of groups, where each query has only the centers of its group, beside the dense kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.harness import Rounds, Spread, Target, measure, ratio
from benchmarks.methods import group_call, measure_accuracy, numpy_log_sums_of_groups, torch_log_sums_of_groups
from benchmarks.problems import groups, mixture, true_log_sums
from layerbits._base import Doubles
from layerbits.kernels import as_sigma, log_sum_exp_isotropic

WANTED_RATE_OVER_DENSE = 0.5


@dataclasses.dataclass(frozen=True)
class GroupRow:
    """Ratios of pairs per second, groups / dense kernel in the same dimension, and of times, rival / layerbits."""

    problem: str
    dtype: str
    rate_over_dense: Spread
    speedup_over_torch: Spread
    speedup_over_numpy: Spread


def measure_groups(count: int, dtype: torch.dtype, *, n: int, m: int, rounds: Rounds) -> GroupRow:
    """Compare `count` groups with the dense kernel at `n` centers and `m` points, and with the rivals."""
    problem, dense = groups(count), mixture(n, m, 3).to(dtype)
    true, cast = true_log_sums(problem), problem.to(dtype)

    def check(results: dict[str, Tensor | Doubles]) -> None:
        measure_accuracy("layerbits", results["layerbits"], problem, true, dtype)

    seconds = measure(
        {
            "layerbits": group_call(cast),
            "dense": partial(log_sum_exp_isotropic, dense.points, dense.centers, as_sigma(dense.sigma), method="dense"),
            "torch": partial(torch_log_sums_of_groups, cast),
            "numpy": partial(numpy_log_sums_of_groups, problem),
        },
        check,
        rounds=rounds,
    )
    pairs = problem.pairs / dense.pairs
    return GroupRow(
        problem.name,
        str(dtype).removeprefix("torch."),
        rate_over_dense=ratio([pairs * time for time in seconds["dense"]], seconds["layerbits"]),
        speedup_over_torch=ratio(seconds["torch"], seconds["layerbits"]),
        speedup_over_numpy=ratio(seconds["numpy"], seconds["layerbits"]),
    )


def targets(rows: Sequence[GroupRow]) -> Iterator[Target]:
    for row in rows:
        yield Target(
            f"{row.problem}, {row.dtype}, of the dense rate", row.rate_over_dense.median, WANTED_RATE_OVER_DENSE
        )


def lines(rows: Sequence[GroupRow]) -> Iterator[str]:
    yield f"{'groups of 32 x 32':<31}{'rate / dense rate':>22}{'x torch, one batch':>22}{'x numpy, a loop':>22}"
    for row in rows:
        spreads = (row.rate_over_dense, row.speedup_over_torch, row.speedup_over_numpy)
        yield f"{row.problem:<22}{row.dtype:<9}" + "".join(f"{spread!s:>22}" for spread in spreads)
