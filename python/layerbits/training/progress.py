"""One look for every progress bar: on stderr, only on a terminal, and only for what takes longer than two seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")


def progress(items: Iterable[_Item], *, name: str, total: int) -> Iterator[_Item]:
    """Yield the items while a bar called `name` counts them."""
    yield from tqdm(items, desc=name, total=total, disable=None, delay=2)
