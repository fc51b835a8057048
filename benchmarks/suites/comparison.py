"""`python -m benchmarks.compare [--quick] [--json PATH] [--figure PATH]`: layerbits beside rivals and machine limits.

Targets are reported, not enforced; a wrong result of layerbits ends the run. Rivals that are not installed are left
out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.harness import machine_facts
from benchmarks.methods import DTYPES, installed
from benchmarks.problems import mixture, szt_layer, trained_layers
from benchmarks.suites.figure import SUFFIXES, save_figure
from benchmarks.suites.report import FULL, QUICK, Plan, Report, to_json, to_lines
from benchmarks.topics import dense, gradients, groups, information_time, memory, pruned, roofline, scaling
from layerbits._base import write_json


def compare(plan: Plan) -> Report:
    """Check and time all topics, one after another."""
    machine = machine_facts()  # before the measurements, so that the load average is that of other processes
    n, m, rounds = plan.centers, plan.points, plan.rounds
    problems = [mixture(n, m, d) for d in plan.dims] + [mixture(n, min(m, points), d) for d, points in plan.large_dims]
    problems += [szt_layer(n, m, layer=layer) for layer in plan.szt_layers]
    layers = trained_layers(plan.epochs, draws=plan.layer_draws, queries=plan.queries, layers=plan.layers)
    n_layers = len(plan.epochs) * len(plan.layers)
    return Report(
        machine=machine,
        missing=tuple(name for name in plan.packages if name not in installed()),
        plan=plan,
        dense=tuple(
            row
            for problem in tqdm(problems, desc="dense", disable=None, leave=False)
            for row in dense.measure_dense(problem, plan.packages, rounds=rounds)
        ),
        groups=tuple(groups.measure_groups(plan.groups, dtype, n=n, m=m, rounds=rounds) for dtype in DTYPES),
        gradients=tuple(gradients.measure_gradients(mixture(n, m, 10), dtype, rounds=rounds) for dtype in DTYPES),
        roofline=tuple(row for dtype in DTYPES for row in roofline.measure_roofline(dtype, n=n, m=m, rounds=rounds)),
        pruned=tuple(
            pruned.measure_pruned(layer, plan.packages, rounds=rounds)
            for layer in tqdm(layers, desc="layers", total=n_layers, disable=None, leave=False)
        ),
        scaling=scaling.measure_scaling(plan.sizes, rounds=rounds),
        information_time=information_time.measure_information_time(
            plan.inputs, draws=plan.draws, queries=plan.queries, rounds=rounds
        ),
        memory=tuple(memory.peak_memory(plan.memory_rows, plan.memory_rows, method) for method in plan.memory_methods),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer problems and points, shorter rounds: under two minutes"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the report to this file as well")
    parser.add_argument(
        "--figure", type=Path, metavar="PATH", help="plot the report to this .svg or .png; needs matplotlib"
    )
    options = parser.parse_args(arguments)
    for option, path in (("--json", options.json), ("--figure", options.figure)):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"{option}: got {path}, wanted a file in a folder that exists; make the folder first")
        if path is not None and path.is_dir():
            parser.error(f"{option}: got the folder {path}, wanted the name of a file")
    if options.figure and options.figure.suffix not in SUFFIXES:
        parser.error(f"--figure: got {options.figure}, wanted a name that ends in {' or '.join(SUFFIXES)}")
    report = compare(QUICK if options.quick else FULL)
    print(*to_lines(report), sep="\n")
    if options.json:
        write_json(options.json, to_json(report))
    if options.figure:
        save_figure(report, options.figure)
    return 0
