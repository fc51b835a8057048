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
    """Records the bytes of the tensors that operators of this thread have made and that are still alive.

    Views of older tensors, such as a transposed weight, take no memory. Nested tensors and tensors of other layouts
    than `torch.strided` are not counted.

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
            older = _storages((args, kwargs)).keys()
            self._alive |= {storage: size for storage, size in _storages(result).items() if storage not in older}
            self.bytes.append(sum(self._alive.values()))
        return result


def _storages(tensors: object) -> dict[StorageWeakRef, int]:
    """Return the bytes of the storages of the dense tensors in a pytree."""
    storages = [
        tensor.untyped_storage()
        for tensor in pytree.tree_leaves(tensors)
        if isinstance(tensor, Tensor) and tensor.layout == torch.strided and not tensor.is_nested
    ]
    return {StorageWeakRef(storage): storage.nbytes() for storage in storages}  # type: ignore[no-untyped-call]


def _is_alive(storage: StorageWeakRef) -> bool:
    return not storage.expired()  # type: ignore[no-untyped-call]


def bytes_of_a_row(memory: LiveMemory, n_rows: int, smaller_memory: LiveMemory, n_fewer_rows: int) -> int:
    """Return the bytes that a row takes in a pass, from passes of two numbers of rows.

    The result is the largest increase per added row after any operator. If the passes ran different numbers of
    operators, it is the largest memory of the larger pass divided by its rows. This is more, because it includes memory
    that does not grow with the rows.
    """
    if len(memory.bytes) == len(smaller_memory.bytes):
        increases = (larger - smaller for larger, smaller in zip(memory.bytes, smaller_memory.bytes, strict=True))
        return max([0, *increases]) // (n_rows - n_fewer_rows)
    return max(memory.bytes, default=0) // n_rows
