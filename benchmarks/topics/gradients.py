"""Time of the gradients of points, centers, weights and sigma, beside the forward call and beside torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.harness import DEFAULT_CHUNK, Rounds, Spread, Target, measure, ratio
from benchmarks.methods import check_gradients, gradient_calls, torch_gradient
from benchmarks.problems import LogSumProblem, true_gradients

MAX_OVER_FORWARD = 3.0  # wanted; docs/performance.md counts the multiply-adds of forward and gradients

_CHECKED_ROWS = 64  # the reference that computes the true gradients is slow


@dataclasses.dataclass(frozen=True)
class GradientRow:
    """Ratios of times: backward / forward, (forward + backward) / forward, torch / layerbits.

    layerbits computes the gradients of all arguments, torch only the gradients of points and centers.
    """

    problem: str
    dtype: str
    backward: Spread
    forward_and_backward: Spread
    speedup_over_torch: Spread


def measure_gradients(problem: LogSumProblem, dtype: torch.dtype, *, rounds: Rounds) -> GradientRow:
    """Compare forward and backward with forward alone, and with torch."""
    cast = problem.to(dtype)
    checked = cast.first(_CHECKED_ROWS)
    check_gradients(gradient_calls(checked)[1](), true_gradients(checked), checked)

    forward, forward_and_backward = gradient_calls(cast)
    calls: dict[str, Callable[[], tuple[Tensor, ...]]] = {
        "forward": lambda: (forward(),),
        "layerbits": forward_and_backward,
        "torch": partial(torch_gradient, cast, torch.ones(len(cast.points), dtype=dtype), chunk=DEFAULT_CHUNK),
    }
    seconds = measure(
        calls, lambda results: check_gradients(results["layerbits"], results["torch"], cast), rounds=rounds
    )
    backward = [a - b for a, b in zip(seconds["layerbits"], seconds["forward"], strict=True)]
    return GradientRow(
        problem.name,
        str(dtype).removeprefix("torch."),
        backward=ratio(backward, seconds["forward"]),
        forward_and_backward=ratio(seconds["layerbits"], seconds["forward"]),
        speedup_over_torch=ratio(seconds["torch"], seconds["layerbits"]),
    )


def targets(rows: Sequence[GradientRow]) -> Iterator[Target]:
    for row in rows:
        name = f"{row.problem}, {row.dtype}"
        yield Target(f"{name}, gradients over forward", row.backward.median, MAX_OVER_FORWARD, at_most=True)
        yield Target(
            f"{name}, forward and gradients over forward",
            row.forward_and_backward.median,
            MAX_OVER_FORWARD,
            at_most=True,
        )


def lines(rows: Sequence[GradientRow]) -> Iterator[str]:
    yield f"{'gradients, time over forward':<31}{'backward':>22}{'forward and backward':>22}{'x torch, both':>22}"
    for row in rows:
        spreads = (row.backward, row.forward_and_backward, row.speedup_over_torch)
        yield f"{row.problem:<22}{row.dtype:<9}" + "".join(f"{spread!s:>22}" for spread in spreads)
