"""The parser of all commands, the short commands, and the exit status of each error and POSIX signal."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from layerbits._base import LayerbitsError
from layerbits.cli.check_command import add_check
from layerbits.cli.completion_script import SHELLS, completion_script
from layerbits.cli.measure_command import add_measure
from layerbits.cli.parser_parts import add_path
from layerbits.cli.run_command import add_run
from layerbits.cli.sweep_command import add_sweep
from layerbits.cli.terminal import Parser, discard_output, is_reader_gone, print_error, print_text
from layerbits.experiments import EXPERIMENTS, settings_table, versions
from layerbits.kernels import backends
from layerbits.report import write_report
from layerbits_command import text_of

_OWN_MESSAGE = re.compile(r"[\w.-]+: got ")
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
    try:
        try:
            return _execute(argv)
        finally:  # the help may still be in the buffer; at exit, the interpreter would report a closed pipe
            if sys.stdout and not sys.stdout.closed:
                sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        discard_output()
        return print_error(f"stdout: cannot be written to ({error.strerror})", 2)


def _execute(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parser().parse_args(argv)
        with _termination_as_interrupt():
            status: int = arguments.execute(arguments)
            return status
    except LayerbitsError as error:
        return print_error(str(error), 2)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and is_reader_gone():
            raise
        # Some invalid settings raise an error only during the computation; the log has the traceback at level DEBUG.
        _LOG.debug("command failed", exc_info=True)
        is_of_layerbits = isinstance(error, TypeError | ValueError) and _OWN_MESSAGE.match(str(error))
        return print_error(str(error) if is_of_layerbits else text_of(error), 2)
    except KeyboardInterrupt:
        return print_error("interrupted", 130)


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(prog="layerbits", description="Information flow in noisy neural networks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    list_ = commands.add_parser("list", help="list the experiments")
    list_.add_argument("--json", action="store_true", help="print names, descriptions and settings as JSON")
    list_.set_defaults(execute=_list)
    commands.add_parser("info", help="show versions and compiled back ends").set_defaults(execute=_info)
    add_run(commands)
    add_sweep(commands)
    add_measure(commands)
    report = commands.add_parser(
        "report",
        help="plot the figures of a run and write an HTML page, or compare several runs on a page",
        description="Plot the figures of a run, finished or not, or of a Monitor, and write DIR/report.html, or "
        "compare several runs. Runs that differ in the seed alone are plotted as one, with bands.",
    )
    add_path(report, "directories", "DIR", "folder of a run or of a Monitor, or of such folders", nargs="+")
    add_path(report, "--out", "FILE.html", "the page (default: DIR/report.html, or report.html for several)")
    report.set_defaults(execute=_report)
    add_check(commands)
    completion = commands.add_parser(
        "completion",
        help="print a script that completes commands in a shell",
        description='Print a script for a shell. In bash: eval "$(layerbits completion bash)". In zsh: write it to a '
        "file _layerbits in a folder of $fpath.",
    )
    completion.add_argument("shell", choices=SHELLS, help="name of the shell")
    completion.set_defaults(execute=_completion)
    return parser


def _list(arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_text(json.dumps([_description(name) for name in EXPERIMENTS], indent=2, ensure_ascii=False))
        return 0
    width = max(map(len, EXPERIMENTS))
    for name, experiment in EXPERIMENTS.items():
        print_text(f"{name:<{width}}  {experiment.description}")
    return 0


def _description(name: str) -> dict[str, object]:
    experiment = EXPERIMENTS[name]
    return {
        "name": name,
        "description": experiment.description,
        "settings": [setting._asdict() for setting in settings_table(experiment.config_type())],
        "quick": dict(experiment.quick),
        "presets": {name: dict(settings) for name, settings in experiment.presets.items()},
    }


def _info(_: argparse.Namespace) -> int:
    for package, version in versions().items():
        print_text(f"{package:<10}  {version}")
    for backend in backends():
        print_text(str(backend))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    report = write_report(arguments.directories, out=arguments.out)
    print_text(f"report is in {report.page}")
    for note in report.notes:
        print_text(f"  {' '.join(note.split())}")
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    print_text(completion_script(_parser(), arguments.shell))
    return 0


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, which batch systems send, and SIGHUP, which a closed terminal sends, like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers in the main thread only
        yield
        return
    previous_handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in previous_handlers.items():
        if handler != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
