"""Progress bars on stderr, shown only on a terminal and only after two seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")


def progress(items: Iterable[_Item], *, name: str, total: int) -> Iterator[_Item]:
    """Yield the items, and count the items in a progress bar."""
    yield from progress_bar(items, name=name, total=total)


def progress_bar(items: Iterable[_Item], *, name: str, total: int) -> tqdm[Any]:
    """Return a progress bar that iterates over the items; its ``set_postfix_str`` adds a text."""
    return tqdm(items, desc=name, total=total, disable=None, delay=2)
