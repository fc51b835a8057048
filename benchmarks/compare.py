"""`python -m benchmarks.compare [--quick] [--json PATH]`: how many times as fast as the rivals, and how exact.

Targets are reported, not enforced; a wrong result ends the run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.calls import DTYPES
from benchmarks.machine import facts
from benchmarks.measurements import EstimatorRow, GradientRow, KernelRow, estimator_row, gradient_row, kernel_rows
from benchmarks.memory import PeakMemory, peak_memory
from benchmarks.problems import mixture, ragged, szt_layer
from benchmarks.timing import Rounds

# Least ratio to torch, by dimension and dtype.
TARGETS = {5: {torch.float32: 40.0}, 10: {torch.float32: 40.0, torch.float64: 20.0}}

METHOD_NAMES = ("layerbits", "torch", "tuned torch", "numpy")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Sizes of a run: `centers` and `points` of the kernels; `inputs`, `draws` and `queries` of the estimator."""

    rounds: Rounds
    dims: tuple[int, ...] = (2, 5, 10, 16, 32, 128)
    centers: int = 4096
    points: int = 20_000
    groups: int = 4096
    inputs: int = 1024
    draws: int = 8
    queries: int = 4
    memory_rows: int = 100_000


FULL = Plan(Rounds(repeats=5))
QUICK = Plan(Rounds(repeats=3, most_seconds=3), points=4000, groups=1024, inputs=512)


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that a run measured, as it stands in the JSON file."""

    machine: dict[str, str | float]
    plan: Plan
    kernels: tuple[KernelRow, ...]
    gradients: tuple[GradientRow, ...]
    estimator: EstimatorRow
    memory: PeakMemory


def compare(plan: Plan) -> Report:
    """Check and time everything, one problem after another."""
    machine = facts()  # first, so that its load is that of others
    n, m, rounds = plan.centers, plan.points, plan.rounds
    cases = [(mixture(n, m, d), TARGETS.get(d, {})) for d in plan.dims]
    cases += [(layer, TARGETS.get(layer.dim, {})) for layer in (szt_layer(n, m, layer=2), szt_layer(n, m, layer=0))]
    cases += [(ragged(plan.groups), {})]
    kernels: list[KernelRow] = []
    for problem, targets in tqdm(cases, desc="kernels", disable=None, leave=False):
        kernels += kernel_rows(problem, targets, rounds=rounds)
    return Report(
        machine,
        plan,
        tuple(kernels),
        tuple(gradient_row(mixture(n, m, 10), dtype, rounds=rounds) for dtype in DTYPES),
        estimator_row(plan.inputs, draws=plan.draws, queries=plan.queries, rounds=rounds),
        peak_memory(plan.memory_rows, plan.memory_rows),
    )


def lines(report: Report) -> Iterator[str]:
    """Write a report as tables."""
    yield "  ".join(f"{name} {value}" for name, value in report.machine.items())
    if float(report.machine["load"]) > float(report.machine["cores"]) / 2:
        yield "The machine was busy: the ratios to torch, whose threads wait for each other, are too high. Repeat it."
    plan = report.plan
    yield f"n = {plan.centers} centers, m = {plan.points} points. torch: cdist, square, logsumexp, 4096 rows at a time;"
    yield "tuned torch: the same in place, in its best chunk here; NumPy in float64 always, in its best chunk."
    yield f"Ratios are their time over ours: median (smallest..largest) of at most {plan.rounds.repeats} rounds."
    yield ""
    names = "".join(f"{name:>13}" for name in METHOD_NAMES)
    yield f"{'billions of pairs a second':<31}{names}  {'x torch':<20}{'target':<10}{'x tuned torch':<22}x NumPy"
    yield from map(_speed_line, report.kernels)
    yield ""
    yield f"{'largest error, nats':<31}{names}"
    yield from map(_error_line, report.kernels)
    yield ""
    yield f"{'gradients':<22}{'':<9}{'time / forward time':<24}  x torch, forward and gradient"
    for row in report.gradients:
        yield f"{row.problem:<22}{row.dtype:<9}{row.over_forward!s:<24}  {row.over_torch}"
    yield ""
    yield from _estimator_lines(report.estimator)
    yield ""
    memory = report.memory
    yield (
        f"peak memory of log_sum_exp, n = {memory.n}, m = {memory.m}, d = {memory.dim}, float32: "
        f"{memory.grown / 1e6:.1f} MB beyond its inputs of {memory.inputs / 1e6:.1f} MB; "
        f"a matrix of n m floats has {memory.all_pairs / 1e6:.0f} MB"
    )


def _speed_line(row: KernelRow) -> str:
    rates = "".join(_cell(row.pairs_per_second.get(name), 1e-9, ".3f") for name in METHOD_NAMES)
    target = "" if row.target is None else f"{row.target:g} {'met' if row.target_met else 'missed'}"
    ratios = f"{row.over_torch!s:<20}{target:<10}{row.over_tuned_torch or '-'!s:<22}{row.over_numpy}"
    return f"{row.problem:<22}{row.dtype:<9}{rates}  {ratios}"


def _error_line(row: KernelRow) -> str:
    return f"{row.problem:<22}{row.dtype:<9}{''.join(_cell(row.errors.get(name), 1, '.1e') for name in METHOD_NAMES)}"


def _cell(value: float | None, unit: float, form: str) -> str:
    return f"{'-' if value is None else format(value * unit, form):>13}"


def _estimator_lines(row: EstimatorRow) -> Iterator[str]:
    yield (
        f"layer_information, SZT network, {row.inputs} inputs, {row.draws} draws, {row.queries} queries each: "
        + ", ".join(f"{name} {seconds:.3g} s" for name, seconds in row.seconds.items())
    )
    yield f"x torch (float64) {row.over_torch}, x NumPy {row.over_numpy}"
    yield f"{'I(X;T), nats':<14}{'layerbits':>19}{'torch':>10}{'numpy':>10}"
    for layer, values in row.information.items():
        ours = f"{values['layerbits']:.4f} ± {row.standard_errors[layer]:.4f}"
        yield f"{layer:<14}{ours:>19}{values['torch']:>10.4f}{values['numpy']:>10.4f}"


def to_json(report: Report) -> str:
    """Write a report as JSON: the fields of the dataclasses."""
    return json.dumps(dataclasses.asdict(report), indent=2) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer points and rounds: under a minute")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the report there as well")
    options = parser.parse_args(arguments)
    report = compare(QUICK if options.quick else FULL)
    print(*lines(report), sep="\n")
    if options.json:
        options.json.write_text(to_json(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
