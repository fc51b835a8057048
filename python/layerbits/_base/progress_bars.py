"""Progress bars after two seconds, in notebooks and on the stderr of a terminal."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import TqdmWarning
from tqdm.notebook import tqdm_notebook

with warnings.catch_warnings():  # in a notebook without ipywidgets, where bars are disabled
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

_DELAY = 2.0  # seconds
_Item = TypeVar("_Item")

# With None, tqdm shows bars only if stderr is a terminal; in a notebook, stderr is no terminal.
_DISABLED = False if issubclass(tqdm, tqdm_notebook) else None


def progress(items: Iterable[_Item], *, name: str, total: int) -> Iterator[_Item]:
    """Yield the items, and count the items in a progress bar."""
    yield from progress_bar(items, name=name, total=total)


def progress_bar(items: Iterable[_Item], *, name: str, total: int) -> tqdm[Any]:
    """Return a progress bar that iterates over the items; `show_text` adds a text."""
    has_no_stderr = sys.stderr is None or sys.stderr.closed  # tqdm would write to it
    return tqdm(items, desc=name, total=total, disable=has_no_stderr or _DISABLED, delay=_DELAY)


def show_text(bar: tqdm[Any], text: str) -> None:
    """Write a text behind a progress bar; a bar whose delay has not passed stays hidden, unlike in tqdm."""
    bar.set_postfix_str(text, refresh=not bar.disable and time.time() >= bar.start_t + _DELAY)
