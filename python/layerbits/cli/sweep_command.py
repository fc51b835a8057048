"""`layerbits sweep`: run an experiment over seeds and settings, on this machine, Dask or Slurm."""

from __future__ import annotations

import argparse
import contextlib
import itertools
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from layerbits import plots
from layerbits._base import RUN_RECORD, UsageError, check_count, check_positive, counted, read_json
from layerbits.cli.parser_parts import add_path, complete, complete_settings
from layerbits.cli.terminal import duration, is_terminal, print_error, print_line, print_text
from layerbits.experiments import (
    EXPERIMENTS,
    SweepCell,
    cells_of,
    dask_executor,
    experiment_named,
    is_finished,
    local_executor,
    parse_grid,
    slowdown,
    slurm_executor,
    sweep,
)

if TYPE_CHECKING:
    from layerbits.cli.parser_parts import Commands

_MOST = 1000  # jobs, threads and retries


def add_sweep(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sweep",
        help="run an experiment over seeds and settings",
        description="Run an experiment with all combinations of seeds and settings, each in a process and a folder of "
        "its own. A killed sweep continues with --resume; finished cells are not run again.",
    )
    name = parser.add_argument("name", metavar="NAME", help="name of the experiment; see `layerbits list`")
    complete(name, bash="_layerbits_experiments", zsh=f"({' '.join(EXPERIMENTS)})")
    parser.add_argument("--seeds", metavar="SEEDS", help="seeds 0:20 (the end is left out) or 0,5,7")
    setting = parser.add_argument(
        "--set",
        metavar="KEY=VALUE,...",
        action="append",
        default=[],
        help="values of a setting, with commas between them; repeatable. A tuple, such as widths=10,7, is one value",
    )
    complete_settings(setting)
    parser.add_argument("--quick", action="store_true", help="use quick settings for the others")
    add_path(parser, "--out", "DIR", "folder of the sweep (default: runs/NAME-sweep)")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="runs at a time on this machine (default: 1)")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="threads of each run (default: 1)")
    engine = parser.add_mutually_exclusive_group()
    engine.add_argument(
        "--dask", metavar="ADDRESS", help="run on the Dask scheduler at tcp://HOST:PORT; local: start N workers here"
    )
    engine.add_argument(
        "--slurm",
        metavar="KEY=VALUE",
        action="append",
        help="run as jobs of Slurm with this option; repeatable. cluster=local: N jobs at a time here, without Slurm",
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="end a run that takes longer (default: never)")
    parser.add_argument("--retries", metavar="K", type=int, default=1, help="try a failed run again (default: 1 time)")
    parser.add_argument("--resume", action="store_true", help="continue the sweep in DIR; its grid may have grown")
    parser.set_defaults(execute=_sweep)


def _sweep(arguments: argparse.Namespace) -> int:
    _check_numbers(arguments)
    experiment = experiment_named(arguments.name)
    plots.require_matplotlib()
    grid = parse_grid(experiment.config_type, arguments.set, arguments.seeds)
    path = arguments.out or Path("runs", f"{experiment.name}-sweep")
    configs = {name: experiment.configuration(texts, quick=arguments.quick) for name, texts in cells_of(grid).items()}
    # `expected_seconds` refuses a missing data set, so it is called before the sweep starts.
    seconds = [experiment.expected_seconds(config) for name, config in configs.items() if not is_finished(path / name)]
    count = counted(len(configs), "run")
    runs = count if len(seconds) == len(configs) else f"{len(seconds)} of {count} left"
    about = f", together about {duration(slowdown() * sum(seconds))}" if seconds else ""
    try:
        with _executor(arguments, path) as executor:
            print_text(f"{experiment.name}: {runs}{about}, into {path}")
            result = sweep(
                experiment.name,
                grid,
                path,
                quick=arguments.quick,
                executor=executor,
                threads=arguments.threads,
                timeout=arguments.timeout,
                retries=arguments.retries,
                resume=arguments.resume,
                on_end=_printer(len(configs)),
            )
    except KeyboardInterrupt:
        has_begun = any(path.glob("*.log"))
        remedy = f"; finished runs are in {path}: add --resume to the command to continue" if has_begun else ""
        return print_error(f"interrupted{remedy}", 130)
    n_finished = len(result.cells) - len(result.unfinished)
    print_text(f"{n_finished} of {counted(len(configs), 'run')} finished; {path}/sweep.csv")
    return int(bool(result.unfinished))


def _check_numbers(arguments: argparse.Namespace) -> None:
    """Check the numbers before a probe of the machine, the start of a cluster, and output."""
    check_count("--jobs", arguments.jobs, minimum=1, maximum=_MOST)
    check_count("--threads", arguments.threads, minimum=1, maximum=_MOST)
    check_count("--retries", arguments.retries, minimum=0, maximum=_MOST)
    if arguments.timeout is not None:
        check_positive("--timeout", arguments.timeout)


def _executor(arguments: argparse.Namespace, path: Path) -> contextlib.AbstractContextManager[Executor]:
    if arguments.dask is not None:
        return dask_executor(arguments.dask, jobs=arguments.jobs)
    if arguments.slurm is None:
        return local_executor(arguments.jobs)
    options: dict[str, str | int] = {}
    for text in arguments.slurm:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--slurm: got {text!r}, wanted KEY=VALUE, such as slurm_partition=cpu")
        options[key] = int(value) if value.isdecimal() else value
    folder = path.with_name(f"{path.name}-jobs")
    if "cluster" not in options:
        return slurm_executor(folder, options)
    return slurm_executor(folder, options, cluster=str(options.pop("cluster")), jobs=arguments.jobs)


def _printer(n_cells: int) -> Callable[[SweepCell, Path], None]:
    """Return a function that prints a line for a cell that failed, and where no bar is shown, for one that finished."""
    numbers = itertools.count(1)

    def print_cell(cell: SweepCell, log: Path) -> None:
        number = next(numbers)
        if cell.reason:
            print_error(f"{cell.name} {cell.status}: {cell.reason}; its output is in {log}", 1)
        elif cell.attempts and not is_terminal():
            seconds = sum(read_json(log.with_name(cell.name) / RUN_RECORD).get("timings", {}).values())
            print_line(f"{cell.name}: finished in {duration(seconds)}, {number} of {n_cells}")

    return print_cell
