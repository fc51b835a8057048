"""The command line: read arguments, run experiments, and turn errors and POSIX signals into exit statuses.

Exit statuses: 0 for success; 1 if `check` finds that intervals contain the true value too rarely, or layers are not
refused; 2 for an error, with one line on stderr, after the usage if the arguments cannot be parsed; 130 for an
interruption. No other module of the package prints anything but progress bars.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import math
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from layerbits import plots
from layerbits._base import LayerbitsError, UsageError, write_csv
from layerbits.calibration import V1, V2, V3, Coverage, coverage_in_processes, expected_seconds
from layerbits.experiments import (
    EXPERIMENTS,
    Experiment,
    RunFolder,
    require_needed,
    require_usable_device,
    versions,
    with_settings,
)
from layerbits.kernels import backends, threads
from layerbits.report import write_report

_SEEDS, _QUICK_SEEDS = 200, 20

_LOG = logging.getLogger("layerbits")
_LOG.addHandler(logging.NullHandler())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default the arguments of the process.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    SystemExit
        The arguments cannot be parsed, or ask for help.
    """
    arguments = _parser().parse_args(argv)
    commands = {"list": _list, "run": _run, "report": _report, "info": _info, "check": _check}
    try:
        with _termination_as_interrupt():
            return commands[arguments.command](arguments)
    except LayerbitsError as error:
        return _print_error(str(error), 2)
    except Exception as error:
        # Some invalid settings raise an error only during the computation; the log has the traceback at level DEBUG.
        _LOG.debug("command failed", exc_info=True)
        return _print_error(f"{type(error).__name__}: {error}", 2)
    except KeyboardInterrupt:
        return _print_error("interrupted", 130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="layerbits", description="Information flow in noisy neural networks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="list the experiments")
    commands.add_parser("info", help="show versions and compiled back ends")
    run = commands.add_parser("run", help="run an experiment", description="Run an experiment.")
    run.add_argument("name", metavar="NAME", help="name of the experiment; see `layerbits list`")
    run.add_argument("--quick", action="store_true", help="use quick settings, for at most 90 seconds on two cores")
    run.add_argument("--out", metavar="DIR", type=Path, help="folder for the results (default: runs/NAME[-quick])")
    run.add_argument("--seed", metavar="N", help="seed of all random numbers (default: 0)")
    run.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="change a setting; repeatable")
    run.add_argument("--resume", action="store_true", help="continue the run in DIR")
    report = commands.add_parser(
        "report",
        help="plot the figures of a run and write an HTML page",
        description="Plot the figures of a run, finished or not, or of a Monitor, and write DIR/report.html.",
    )
    report.add_argument("directory", metavar="DIR", type=Path, help="folder of the run, or of a Monitor")
    check = commands.add_parser(
        "check",
        help="check the intervals against true values",
        description="Estimate quantities with known true values, and count how often the 95 % intervals contain them. "
        "Layers that are no chain must be refused.",
    )
    check.add_argument("--seeds", metavar="K", type=int, help=f"number of estimates of each task (default: {_SEEDS})")
    check.add_argument("--quick", action="store_true", help=f"{_QUICK_SEEDS} seeds")
    check.add_argument("--out", metavar="FILE.csv", type=Path, help="write the table with all columns to this file")
    return parser


def _list(_: argparse.Namespace) -> int:
    width = max(map(len, EXPERIMENTS))
    for name, experiment in EXPERIMENTS.items():
        print(f"{name:<{width}}  {experiment.description}")
    return 0


def _info(_: argparse.Namespace) -> int:
    for package, version in versions().items():
        print(f"{package:<10}  {version}")
    for backend in backends():
        print(backend)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    name: str = arguments.name
    if name not in EXPERIMENTS:
        raise UsageError(f"{name}: no such experiment; there are {', '.join(EXPERIMENTS)}")
    experiment = EXPERIMENTS[name]
    plots.require_matplotlib()  # before the training, which may take hours
    config = _configuration(experiment, arguments)
    path = arguments.out or Path("runs", f"{name}-quick" if arguments.quick else name)
    seconds = experiment.expected_seconds(config)  # before the folder is made, because a data set may be missing
    folder = RunFolder(path, experiment=name, config=config, resume=arguments.resume)
    print(f"{name}: about {_duration(seconds)} on two cores, into {path}", flush=True)
    try:
        with folder.running():
            experiment.run(config, folder)
    except KeyboardInterrupt:
        return _print_error(f"interrupted; results so far are in {path}: add --resume to the command to continue", 130)
    print(f"results are in {path}")
    for key, value in folder.summary.items():
        print(f"  {key.replace('_', ' ')}: {value:.4g}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    report = write_report(arguments.directory)
    print(f"report is in {report.page}")
    for note in report.notes:
        print(f"  {' '.join(note.split())}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    default = _QUICK_SEEDS if arguments.quick else _SEEDS
    seeds: int = default if arguments.seeds is None else arguments.seeds
    if seeds < 1:
        raise UsageError(f"--seeds: got {seeds}, wanted an integer >= 1")
    out: Path | None = arguments.out
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UsageError(f"--out: got {out}, wanted a file in a folder that exists")
    tasks = (*V1, *V2, *V3)
    processes = threads()
    seconds = expected_seconds(tasks, seeds) / processes
    cores = f"{processes} core{'s' * (processes > 1)}"
    print(f"{len(tasks)} tasks, {seeds} seeds: about {_duration(seconds)} on {cores}", flush=True)
    rows = coverage_in_processes(tasks, seeds=range(seeds), processes=processes)
    if out is not None:
        write_csv(out, [field.name for field in dataclasses.fields(Coverage)], map(dataclasses.astuple, rows))
    print(f"{'task':<20} {'quantity':<10}     truth      mean rms error contained half width achievable")
    for row in rows:
        truth = "  refused" if math.isnan(row.truth) else f"{row.truth:9.4f}"
        numbers = f"{truth} {row.mean_value:9.4f} {row.rms_error:9.4f} {f'{row.hits}/{row.seeds}':>9}"
        line = f"{row.task:<20} {row.quantity:<10} {numbers} {row.half_width:10.4f} {row.achievable:10.4f}"
        print(line if row.sufficient else f"{line}  too rarely: wanted {row.required_hits}")
    failing = sum(not row.sufficient for row in rows)
    print(f"{failing} of {len(rows)} quantities contain the true value, or are refused, too rarely")
    return int(failing > 0)


def _configuration(experiment: Experiment[Any], arguments: argparse.Namespace) -> Any:
    texts: dict[str, str] = {}
    for setting in arguments.set:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set: got {setting!r}, wanted KEY=VALUE")
        texts[key] = value
    if arguments.seed is not None:
        texts["seed"] = arguments.seed
    default = experiment.quick_config() if arguments.quick else experiment.config_type()
    config = with_settings(default, texts)
    require_needed(config)
    require_usable_device(config)
    return config


def _duration(seconds: float) -> str:
    for unit, size in {"days": 86_400, "h": 3600, "min": 60}.items():
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{math.ceil(seconds)} s"


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, which batch systems send, like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers in the main thread only
        yield
        return
    previous_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


def _print_error(message: str, status: int) -> int:
    print(f"layerbits: {' '.join(message.split())}", file=sys.stderr)
    return status
