"""The memory that a row takes in a pass, from the tensors that are alive after each operator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the bytes of the tensors that operators of this thread have returned and that are alive.

    Attributes
    ----------
    bytes : list of int
        Bytes after each operator.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: list[int] = []
        self._alive: dict[StorageWeakRef, int] = {}
        self._is_paused = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Record no operator within a ``with`` block."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self._is_paused:
            self._alive = {storage: size for storage, size in self._alive.items() if _is_alive(storage)}
            for tensor in pytree.tree_leaves(result):
                if isinstance(tensor, Tensor) and tensor.layout == torch.strided and not tensor.is_nested:
                    storage = tensor.untyped_storage()
                    self._alive[StorageWeakRef(storage)] = storage.nbytes()  # type: ignore[no-untyped-call]
            self.bytes.append(sum(self._alive.values()))
        return result


def _is_alive(storage: StorageWeakRef) -> bool:
    return not storage.expired()  # type: ignore[no-untyped-call]


def bytes_of_a_row(more: LiveMemory, n_more: int, fewer: LiveMemory, n_fewer: int) -> int:
    """Return the largest number of bytes that a row adds after any operator, from passes of two numbers of rows.

    Where the passes ran other operators, all of the larger pass counts as memory of its rows, which is more.
    """
    if len(more.bytes) == len(fewer.bytes):
        added = (left - right for left, right in zip(more.bytes, fewer.bytes, strict=True))
        return max(0, *added, 0) // (n_more - n_fewer)
    return max(more.bytes, default=0) // n_more
