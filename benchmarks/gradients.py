"""Gradients of points, centers, weights and sigma beside the forward call, and beside torch's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks import rivals
from benchmarks.accuracy import check_gradients, true_gradients
from benchmarks.calls import gradient_calls
from benchmarks.problems import Problem
from benchmarks.targets import Target
from benchmarks.timing import CHUNKS, Rounds, Spread, measure, ratio

MOST_OVER_FORWARD = 3.0

_CHECKED_ROWS = 64  # by the slow twin


@dataclasses.dataclass(frozen=True)
class GradientRow:
    """Time of the backward call, and of both, over the forward call's; torch's, of points and centers, over ours."""

    problem: str
    dtype: str
    backward: Spread
    both: Spread
    over_torch: Spread


def measure_gradients(problem: Problem, dtype: torch.dtype, *, rounds: Rounds) -> GradientRow:
    """Compare forward and gradients with forward alone, and with torch."""
    given = problem.to(dtype)
    few = given.first(_CHECKED_ROWS)
    check_gradients(gradient_calls(few)[1](), true_gradients(few), few)

    forward, both = gradient_calls(given)
    calls: dict[str, Callable[[], tuple[Tensor, ...]]] = {
        "forward": lambda: (forward(),),
        "both": both,
        "torch": partial(rivals.torch_gradient, given, torch.ones(len(given.points), dtype=dtype), chunk=CHUNKS[1]),
    }
    seconds = measure(calls, lambda results: check_gradients(results["both"], results["torch"], given), rounds=rounds)
    backward = [whole - one for whole, one in zip(seconds["both"], seconds["forward"], strict=True)]
    return GradientRow(
        problem.name,
        str(dtype).removeprefix("torch."),
        backward=ratio(backward, seconds["forward"]),
        both=ratio(seconds["both"], seconds["forward"]),
        over_torch=ratio(seconds["torch"], seconds["both"]),
    )


def targets(rows: Sequence[GradientRow]) -> Iterator[Target]:
    for row in rows:
        what = f"{row.problem}, {row.dtype}"
        yield Target(f"{what}, gradients over forward", row.backward.median, MOST_OVER_FORWARD, at_most=True)
        yield Target(f"{what}, forward and gradients over forward", row.both.median, MOST_OVER_FORWARD, at_most=True)


def lines(rows: Sequence[GradientRow]) -> Iterator[str]:
    yield f"{'gradients, time over forward':<31}{'backward':>22}{'forward and backward':>22}{'x torch, both':>22}"
    for row in rows:
        yield f"{row.problem:<22}{row.dtype:<9}{row.backward!s:>22}{row.both!s:>22}{row.over_torch!s:>22}"
