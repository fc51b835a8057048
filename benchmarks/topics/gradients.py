"""Time of the gradients of points, centers, weights and sigma, beside the forward call and beside torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.harness import CHUNKS, Rounds, Spread, Target, measure, ratio
from benchmarks.methods import check_gradients, gradient_calls, torch_gradient
from benchmarks.problems import LogSumProblem, true_gradients

MAX_OVER_FORWARD = 3.0

_CHECKED_ROWS = 64  # the reference that computes the true gradients is slow


@dataclasses.dataclass(frozen=True)
class GradientRow:
    """Time of backward, and of forward and backward, over forward; and torch's time over ours.

    layerbits computes the gradients of all arguments, torch only those of points and centers.
    """

    problem: str
    dtype: str
    backward: Spread
    both: Spread
    over_torch: Spread


def measure_gradients(problem: LogSumProblem, dtype: torch.dtype, *, rounds: Rounds) -> GradientRow:
    """Compare forward and backward with forward alone, and with torch."""
    cast = problem.to(dtype)
    checked = cast.first(_CHECKED_ROWS)
    check_gradients(gradient_calls(checked)[1](), true_gradients(checked), checked)

    forward, both = gradient_calls(cast)
    calls: dict[str, Callable[[], tuple[Tensor, ...]]] = {
        "forward": lambda: (forward(),),
        "both": both,
        "torch": partial(torch_gradient, cast, torch.ones(len(cast.points), dtype=dtype), chunk=CHUNKS[1]),
    }
    seconds = measure(calls, lambda results: check_gradients(results["both"], results["torch"], cast), rounds=rounds)
    backward = [a - b for a, b in zip(seconds["both"], seconds["forward"], strict=True)]
    return GradientRow(
        problem.name,
        str(dtype).removeprefix("torch."),
        backward=ratio(backward, seconds["forward"]),
        both=ratio(seconds["both"], seconds["forward"]),
        over_torch=ratio(seconds["torch"], seconds["both"]),
    )


def targets(rows: Sequence[GradientRow]) -> Iterator[Target]:
    for row in rows:
        name = f"{row.problem}, {row.dtype}"
        yield Target(f"{name}, gradients over forward", row.backward.median, MAX_OVER_FORWARD, at_most=True)
        yield Target(f"{name}, forward and gradients over forward", row.both.median, MAX_OVER_FORWARD, at_most=True)


def lines(rows: Sequence[GradientRow]) -> Iterator[str]:
    yield f"{'gradients, time over forward':<31}{'backward':>22}{'forward and backward':>22}{'x torch, both':>22}"
    for row in rows:
        yield f"{row.problem:<22}{row.dtype:<9}{row.backward!s:>22}{row.both!s:>22}{row.over_torch!s:>22}"
