"""The number of threads of a kernel on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from layerbits.kernels.back_ends import cpu

# Threads of the kernels inside single_threaded_torch, where torch's own setting is 1.
_kernel_threads: ContextVar[int | None] = ContextVar("kernel_threads", default=None)


def threads() -> int:
    """Return the number of threads of a kernel: torch's setting, at most the cores that this process may use."""
    return min(_kernel_threads.get() or torch.get_num_threads(), int(cpu().usable_cores()))


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Limit operators of torch to one thread for a ``with`` block; kernels keep their number of threads.

    Notes
    -----
    The operators around the kernels gain little from threads on an idle machine, and their threads wait for each other
    on a busy machine: with two threads on two busy cores, five SZT layers took twice as long to measure as with one.
    """
    torch_threads = torch.get_num_threads()
    token = _kernel_threads.set(threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(torch_threads)
        _kernel_threads.reset(token)
