"""The script `layerbits`: imports the package, which takes seconds, and runs its command line.

It stands beside the package, because Python would import all of `layerbits` before a module in it. So an interrupt, and
a limit of memory that the libraries exceed, end in one line.
"""

from __future__ import annotations

import sys
import traceback


def main() -> int:
    """Run the command line on the arguments of the process, and return the exit status."""
    try:
        from layerbits.cli import main as run
    except KeyboardInterrupt:
        return _print_error("interrupted", 130)
    except Exception as error:  # without memory, Python and the libraries raise errors of several types
        return _print_error(f"cannot start: {text_of(error)}", 2)
    return run()


def text_of(error: Exception) -> str:
    """Return type and message of an error of a library, with the remedy for a lack of memory."""
    text = "".join(traceback.format_exception_only(error)).strip()
    # The loader of the system has no error type of its own for this.
    if isinstance(error, MemoryError) or "failed to map" in text or "cannot allocate" in text.lower():
        text += "; the memory is full: raise its limit (ulimit -v), end other programs, or choose smaller settings"
    if "can't start new thread" in text:
        text += "; raise the limit of processes (ulimit -u), or set OMP_NUM_THREADS=1"
    return text


def _print_error(message: str, status: int) -> int:
    if sys.stderr is not None:
        try:
            print(f"layerbits: {' '.join(message.split())}", file=sys.stderr, flush=True)
        except (OSError, ValueError):  # it is full or closed
            sys.stderr = None  # else Python fails to write at exit, with status 120
    return status
