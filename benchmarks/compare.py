"""`python -m benchmarks.compare [--quick] [--json PATH] [--figure PATH]`: how fast, beside the rivals and the machine.

Targets are reported, not enforced; a wrong result of ours ends the run. Rivals that are not installed are left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks import dense, estimator, gradients, groups, memory, peers, pruned, roofline, scaling
from benchmarks.calls import DTYPES
from benchmarks.figure import SUFFIXES, save_figure
from benchmarks.layers import trained_layers
from benchmarks.machine import facts
from benchmarks.problems import mixture, szt_layer
from benchmarks.targets import Target
from benchmarks.timing import Rounds
from layerbits._base import write_json


@dataclasses.dataclass(frozen=True)
class Plan:
    """Sizes of a run, by topic: `centers` and `points` of the dense kernels, fewer points at `wide` dimensions.

    Layers are measured at `epochs` of a training, with `layer_draws` of each input as centers, `queries` as points.
    """

    rounds: Rounds
    dims: tuple[int, ...] = (2, 5, 10, 16, 32, 128)
    wide: tuple[tuple[int, int], ...] = ((784, 1024), (4096, 256))  # dimension, points
    szt_layers: tuple[int, ...] = (2, 0)
    peers: tuple[str, ...] = peers.NAMES
    centers: int = 4096
    points: int = 20_000
    groups: int = 4096
    epochs: tuple[int, ...] = (30, 900, 3000)
    layers: tuple[int, ...] = (1, 2, 3, 4, 5)
    layer_draws: int = 32
    sizes: tuple[int, ...] = (16_384, 32_768, 65_536, 131_072, 262_144)
    inputs: int = 1024
    draws: int = 8
    queries: int = 4
    memory_rows: int = 100_000


FULL = Plan(Rounds(repeats=3, most_seconds=20))
QUICK = Plan(
    Rounds(repeats=3, least_seconds=0.2, most_seconds=4),
    dims=(10,),
    wide=(),
    szt_layers=(),
    points=4096,
    groups=1024,
    epochs=(30, 600),
    layers=(2, 5),
    layer_draws=8,
    sizes=(16_384, 32_768, 65_536),
    inputs=512,
)


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything that a run measured."""

    machine: dict[str, str | float]
    missing: tuple[str, ...]
    plan: Plan
    dense: tuple[dense.DenseRow, ...]
    groups: tuple[groups.GroupRow, ...]
    gradients: tuple[gradients.GradientRow, ...]
    roofline: tuple[roofline.RoofRow, ...]
    pruned: tuple[pruned.PrunedRow, ...]
    scaling: scaling.Scaling
    estimator: estimator.EstimatorRow
    memory: tuple[memory.PeakMemory, ...]

    @property
    def targets(self) -> list[Target]:
        return [
            *dense.targets(self.dense),
            *groups.targets(self.groups),
            *gradients.targets(self.gradients),
            *roofline.targets(self.roofline),
            *pruned.targets(self.pruned),
            *scaling.targets(self.scaling),
        ]


def compare(plan: Plan) -> Report:
    """Check and time everything, one topic after another."""
    machine = facts()  # first, so that its load is that of others
    n, m, rounds = plan.centers, plan.points, plan.rounds
    problems = [mixture(n, m, d) for d in plan.dims] + [mixture(n, min(m, points), d) for d, points in plan.wide]
    problems += [szt_layer(n, m, layer=layer) for layer in plan.szt_layers]
    layers = trained_layers(plan.epochs, draws=plan.layer_draws, queries=plan.queries, layers=plan.layers)
    shown = tqdm(layers, desc="layers", total=len(plan.epochs) * len(plan.layers), disable=None, leave=False)
    return Report(
        machine=machine,
        missing=tuple(name for name in plan.peers if name not in peers.installed()),
        plan=plan,
        dense=tuple(
            row
            for problem in tqdm(problems, desc="dense", disable=None, leave=False)
            for row in dense.measure_dense(problem, plan.peers, rounds=rounds)
        ),
        groups=tuple(groups.measure_groups(plan.groups, dtype, n=n, m=m, rounds=rounds) for dtype in DTYPES),
        gradients=tuple(gradients.measure_gradients(mixture(n, m, 10), dtype, rounds=rounds) for dtype in DTYPES),
        roofline=tuple(row for dtype in DTYPES for row in roofline.measure_roofline(dtype, n=n, m=m, rounds=rounds)),
        pruned=tuple(pruned.measure_pruned(layer, plan.peers, rounds=rounds) for layer in shown),
        scaling=scaling.measure_scaling(plan.sizes, rounds=rounds),
        estimator=estimator.measure_estimator(plan.inputs, draws=plan.draws, queries=plan.queries, rounds=rounds),
        memory=tuple(memory.peak_memory(plan.memory_rows, plan.memory_rows, method) for method in ("dense", "pruned")),
    )


def lines(report: Report) -> Iterator[str]:
    """Write a report as tables."""
    yield "  ".join(f"{name} {value}" for name, value in report.machine.items())
    if float(report.machine["load"]) > float(report.machine["cores"]) / 2:
        yield "The machine was busy: the ratios to rivals, whose threads wait for each other, are too high. Repeat it."
    if report.missing:
        yield f"Not installed, so left out: {', '.join(report.missing)}; pip install '.[bench]' installs them."
    plan = report.plan
    yield f"n = {plan.centers} centers, m = {plan.points} points; fewer points from 784 dimensions on."
    yield f"Ratios are medians (smallest..largest) of at most {plan.rounds.repeats} rounds."
    for part in (
        dense.lines(report.dense),
        groups.lines(report.groups),
        gradients.lines(report.gradients),
        roofline.lines(report.roofline),
        pruned.lines(report.pruned),
        scaling.lines(report.scaling),
        estimator.lines(report.estimator),
        memory.lines(report.memory),
    ):
        yield ""
        yield from part
    yield ""
    missed = sum(not target.met for target in report.targets)
    sizes = "" if plan == FULL else "; they are promised for the sizes of the full run"
    yield f"targets: {len(report.targets) - missed} met, {missed} missed{sizes}"
    yield from map(str, report.targets)


def to_json(report: Report) -> dict[str, object]:
    """Return the fields of the dataclasses and the targets as JSON's types."""
    targets = [dataclasses.asdict(target) | {"met": target.met} for target in report.targets]
    return dataclasses.asdict(report) | {"targets": targets}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer problems, points and rounds: under two minutes")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the report there as well")
    parser.add_argument("--figure", type=Path, metavar="PATH", help="draw it there, .svg or .png; needs matplotlib")
    options = parser.parse_args(arguments)
    for path in (one for one in (options.json, options.figure) if one is not None):
        # Found out now, not after minutes.
        if not path.absolute().parent.is_dir():
            parser.error(f"{path}: got a folder that does not exist, wanted one that does; make it first")
        if path.is_dir():
            parser.error(f"{path}: got a folder, wanted the name of a file")
    if options.figure and options.figure.suffix not in SUFFIXES:
        parser.error(f"--figure: got {options.figure}, wanted a name that ends in {' or '.join(SUFFIXES)}")
    report = compare(QUICK if options.quick else FULL)
    print(*lines(report), sep="\n")
    if options.json:
        write_json(options.json, to_json(report))
    if options.figure:
        save_figure(report, options.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
