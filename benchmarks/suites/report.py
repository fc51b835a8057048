"""The plan of a comparison, and its results as tables and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from benchmarks.harness import Rounds, Target
from benchmarks.methods import PACKAGES
from benchmarks.topics import dense, gradients, groups, information_time, memory, pruned, roofline, scaling


@dataclasses.dataclass(frozen=True)
class Plan:
    """Sizes of a comparison.

    Attributes
    ----------
    rounds : Rounds
        Limits of each measurement.
    dims, large_dims, centers, points
        Problems of the dense kernels: dimensions, numbers of centers and of points. `large_dims` has pairs of a large
        dimension and its number of points.
    szt_layers : tuple of int
        Layers, counted from 1, of the SZT network with random weights.
    packages : tuple of str
        Packages of the extra `bench` to compare with.
    groups : int
        Number of groups.
    epochs, layers, layer_draws
        Problems of the pruned kernels: epochs of a training, layers counted from 1, centers for each input. Each input
        has `queries` points.
    sizes : tuple of int
        Numbers of centers at which the growth of time is measured.
    inputs, draws, queries
        Arguments of `layer_information`.
    memory_rows, memory_methods
        Number of points and of centers for the measurement of memory, and its methods.
    """

    rounds: Rounds
    dims: tuple[int, ...] = (2, 5, 10, 16, 32, 128)
    large_dims: tuple[tuple[int, int], ...] = ((784, 1024), (4096, 256))
    szt_layers: tuple[int, ...] = (3, 1)
    packages: tuple[str, ...] = PACKAGES
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
    memory_methods: tuple[str, ...] = ("dense", "pruned")


FULL = Plan(Rounds(repeats=3, max_seconds=20))
QUICK = Plan(
    Rounds(repeats=3, min_seconds=0.2, max_seconds=4),
    dims=(10,),
    large_dims=(),
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
    """The results of a comparison."""

    machine: dict[str, str | float]
    missing: tuple[str, ...]
    plan: Plan
    dense: tuple[dense.DenseRow, ...]
    groups: tuple[groups.GroupRow, ...]
    gradients: tuple[gradients.GradientRow, ...]
    roofline: tuple[roofline.RoofRow, ...]
    pruned: tuple[pruned.PrunedRow, ...]
    scaling: scaling.Scaling
    information_time: information_time.InformationTimeRow
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


def to_lines(report: Report) -> Iterator[str]:
    """Yield the lines of the tables of a report."""
    yield "  ".join(f"{name} {value}" for name, value in report.machine.items())
    if float(report.machine["load"]) > float(report.machine["cores"]) / 2:
        yield "The machine was busy: the ratios to rivals, whose threads wait for each other, are too high."
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
        information_time.lines(report.information_time),
        memory.lines(report.memory),
    ):
        yield ""
        yield from part
    yield ""
    missed = sum(not target.met for target in report.targets)
    sizes = "" if plan == FULL else "; they are meant for the sizes of the full run"
    yield f"targets: {len(report.targets) - missed} met, {missed} missed{sizes}"
    yield from map(str, report.targets)


def to_json(report: Report) -> dict[str, object]:
    """Return the fields of the dataclasses and the targets as JSON types."""
    targets = [dataclasses.asdict(target) | {"met": target.met} for target in report.targets]
    return dataclasses.asdict(report) | {"targets": targets}
