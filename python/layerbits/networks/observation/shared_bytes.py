"""`SharedBytes`: finds memory whose bytes belong to other memory too, as two tensors of one NumPy array."""

from __future__ import annotations

import dataclasses

import torch
from torch.multiprocessing.reductions import StorageWeakRef


@dataclasses.dataclass(frozen=True)
class _Range:
    """The bytes of a memory from `start` to `end`; `reference` is None for memory that is never freed."""

    start: int
    end: int
    reference: StorageWeakRef | None

    def overlaps(self, start: int, end: int) -> bool:
        if self.end <= start or end <= self.start:
            return False
        return self.reference is None or not self.reference.expired()  # type: ignore[no-untyped-call]


class SharedBytes:
    """The byte ranges of memory that no operation of torch allocated, or that has left torch."""

    def __init__(self) -> None:
        self._ranges: dict[int, _Range] = {}

    def add(self, storage: torch.UntypedStorage, *, is_outside: bool) -> bool:
        """Add the bytes of a storage, and return whether another storage has some of them.

        `is_outside` is whether no operation of torch allocated the bytes, so that they may outlive the storage.
        """
        with torch._C.DisableTorchFunction():
            start, address = storage.data_ptr(), storage._cdata
            end = start + storage.nbytes()
        if start == end or address in self._ranges:
            return False
        reference = None if is_outside else StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        is_shared = any(other.overlaps(start, end) for other in self._ranges.values())
        self._ranges[address] = _Range(start, end, reference)
        return is_shared
