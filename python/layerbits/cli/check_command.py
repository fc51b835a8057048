"""`layerbits check`: compare the intervals with true values."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from layerbits._base import UsageError, check_count, write_csv
from layerbits.calibration import BASELINES, V1, V2, V3, Coverage, coverage_in_processes, expected_seconds
from layerbits.cli.parser_parts import add_path
from layerbits.cli.terminal import duration, print_text
from layerbits.experiments import slowdown
from layerbits.kernels import threads

if TYPE_CHECKING:
    from layerbits.cli.parser_parts import Commands

_SEEDS, _QUICK_SEEDS, _MOST_SEEDS = 200, 20, 100_000


def add_check(commands: Commands) -> None:
    """Add the command to the parser."""
    check = commands.add_parser(
        "check",
        help="check the intervals against true values",
        description="Estimate quantities with known true values, and count how often the 95 % intervals contain them. "
        "Layers that are no chain must be refused. Baselines have no intervals: their errors must be within bounds.",
    )
    check.add_argument("--seeds", metavar="K", type=int, help=f"number of estimates of each task (default: {_SEEDS})")
    check.add_argument("--quick", action="store_true", help=f"{_QUICK_SEEDS} seeds")
    add_path(check, "--out", "FILE.csv", "write the table with all columns to this file")
    check.set_defaults(execute=_check)


def _check(arguments: argparse.Namespace) -> int:
    default = _QUICK_SEEDS if arguments.quick else _SEEDS
    seeds: int = default if arguments.seeds is None else arguments.seeds
    check_count("--seeds", seeds, minimum=1, maximum=_MOST_SEEDS)
    out: Path | None = arguments.out
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UsageError(f"--out: got {out}, wanted a file in a folder that exists")
    tasks = (*V1, *V2, *V3, *BASELINES)
    processes = threads()
    seconds = slowdown() * expected_seconds(tasks, seeds) / processes
    cores = f"{processes} core{'s' * (processes > 1)}"
    print_text(f"{len(tasks)} tasks, {seeds} seeds: about {duration(seconds)} on {cores}")
    rows = coverage_in_processes(tasks, seeds=range(seeds), processes=processes)
    if out is not None:
        columns = [field.name for field in dataclasses.fields(Coverage)]
        write_csv(out, columns, map(dataclasses.astuple, rows), checksum=False)
    print_text(f"{'task':<20} {'quantity':<10}     truth      mean rms error contained half width achievable")
    for row in rows:
        truth = "  refused" if math.isnan(row.truth) else f"{row.truth:9.4f}"
        numbers = f"{truth} {row.mean_value:9.4f} {row.rms_error:9.4f} {f'{row.hits}/{row.seeds}':>9}"
        line = f"{row.task:<20} {row.quantity:<10} {numbers} {row.half_width:10.4f} {row.achievable:10.4f}"
        print_text(line if row.sufficient else f"{line}  too rarely: wanted {row.required_hits}")
    failing = sum(not row.sufficient for row in rows)
    print_text(f"too few seeds are right in {failing} of {len(rows)} rows")
    return int(failing > 0)
