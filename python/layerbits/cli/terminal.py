"""Output of the command line: errors, durations and tables of settings."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import select
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from layerbits._base import UsageError
from layerbits.experiments import Setting


def printable(text: str) -> str:
    """Return a text whose control characters are escaped: they would act on a terminal."""
    return "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)


def print_text(text: str) -> None:
    """Print lines on stdout, without other control characters; raise UsageError if stdout cannot be written to."""
    try:
        print("\n".join(map(printable, text.split("\n"))), flush=True)
    except BrokenPipeError:  # the reader has ended, which is no error
        raise
    except (OSError, ValueError) as error:  # ValueError: stdout is closed, or cannot encode the text
        discard_output()
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"stdout: cannot be written to ({reason})") from error


class Parser(argparse.ArgumentParser):
    """A parser whose errors show arguments without control characters."""

    def error(self, message: str) -> NoReturn:
        """Print the message and the usage, and exit with status 2."""
        if sys.stderr is None:  # argparse would print the usage on stdout
            self.exit(2)
        super().error(printable(message))


def print_error(message: str, status: int) -> int:
    """Print a message in one line on stderr, and return `status`."""
    print_line(f"layerbits: {message}")
    return status


def print_line(message: str) -> None:
    """Print a message in one line on stderr; a closed stderr is no error."""
    if sys.stderr is not None:  # print() would write to stdout
        with contextlib.suppress(OSError, ValueError):
            print(printable(" ".join(message.split())), file=sys.stderr, flush=True)


def is_terminal() -> bool:
    """Return whether stderr is a terminal, on which progress bars are shown."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def is_reader_gone() -> bool:
    """Return whether the process that reads stdout has ended, as `head` does after its lines."""
    output = select.poll()
    try:
        output.register(sys.stdout, 0)
    except (TypeError, ValueError):  # stdout is closed, or no file
        return False
    return any(event & select.POLLERR for _, event in output.poll(0))


def discard_output() -> None:
    """Discard the text that waits in the buffer of stdout, and all later text."""
    with open(os.devnull, "w") as nowhere, contextlib.suppress(ValueError):  # stdout is closed
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def duration(seconds: float) -> str:
    """Return a duration in the largest unit of which it has at least two, or in seconds."""
    for unit, size in {"days": 86_400, "h": 3600, "min": 60}.items():
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{math.ceil(seconds)} s"


def settings_lines(settings: Sequence[Setting], runs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Return lines that describe settings: name, type, default, values in quick and preset `runs`, remark, source."""
    width = min(shutil.get_terminal_size().columns, 120)
    for setting in settings:
        values = [f"{name}: {_text(run[setting.name])}" for name, run in runs.items() if setting.name in run]
        in_runs = f" ({'; '.join(values)})" if values else ""
        yield from _wrap(f"{setting.name}: {setting.type} = {_text(setting.default)}{in_runs}", width, 2)
        source = f" Source: {setting.source}." if setting.source else ""
        yield from _wrap(f"{setting.remark}{source}", width, 6)


def _text(value: object) -> str:
    """Return a value as `--set` takes it."""
    return ",".join(map(_text, value)) if isinstance(value, tuple) else str(value)


def _wrap(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=" " * indent, subsequent_indent=" " * indent, break_long_words=False
    )
