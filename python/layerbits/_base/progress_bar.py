"""One look for every progress bar: on stderr, only on a terminal, and only for what takes longer than two seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")


def progress(items: Iterable[_Item], *, name: str, total: int) -> Iterator[_Item]:
    """Yield the items while a bar called `name` counts them."""
    yield from bar(items, name=name, total=total)


def bar(items: Iterable[_Item], *, name: str, total: int) -> tqdm[Any]:
    """Return the bar itself, for who has more to say: ``set_postfix_str``."""
    return tqdm(items, desc=name, total=total, disable=None, delay=2)
