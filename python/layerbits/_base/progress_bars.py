"""Progress bars on stderr, shown only on a terminal and only after two seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")


def progress(items: Iterable[_Item], *, name: str, total: int) -> Iterator[_Item]:
    """Yield the items, and count them in a progress bar."""
    yield from progress_bar(items, name=name, total=total)


def progress_bar(items: Iterable[_Item], *, name: str, total: int) -> tqdm[Any]:
    """Return an iterator over the items that is also a progress bar, for instance with ``set_postfix_str``."""
    return tqdm(items, desc=name, total=total, disable=None, delay=2)
