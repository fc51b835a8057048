"""The number of threads of a kernel on the CPU, and of torch around the kernels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch.utils.data import get_worker_info

from layerbits.kernels.back_ends import cpu

_Result = TypeVar("_Result")

# Threads of the kernels inside single_threaded_torch, where torch's own setting is 1.
_kernel_threads: ContextVar[int | None] = ContextVar("kernel_threads", default=None)

# Threads of the kernels in a forked child, where torch's own setting is 1. A ContextVar would be empty in new threads.
_kernel_threads_of_child: int | None = None


def threads() -> int:
    """Return the number of threads of a kernel: torch's setting, at most the cores that this process may use.

    In a forked child, torch's setting at the fork counts, unless the child has chosen more than one thread of torch. A
    worker of a DataLoader has one thread: several workers share the cores with the training.
    """
    return min(_wanted_threads(), int(cpu().usable_cores()))


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Limit operators of torch to one thread for a ``with`` block; kernels keep their number of threads.

    Notes
    -----
    The operators around the kernels gain little from threads on an idle machine, and their threads wait for each other
    on a busy machine: with two threads on two busy cores, five SZT layers took twice as long to measure as with one.
    """
    process, torch_threads = os.getpid(), torch.get_num_threads()
    token = _kernel_threads.set(threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        if os.getpid() == process:  # not in a child that was forked inside the block
            torch.set_num_threads(torch_threads)
        _kernel_threads.reset(token)


def map_in_threads(function: Callable[[int], _Result], count: int) -> list[_Result]:
    """Return ``function(0)``, ..., ``function(count - 1)``, computed in `threads` threads with single-threaded kernels.

    This is faster than multi-threaded kernels if the calls have many short kernels between operations of NumPy.
    """
    is_inference = torch.is_inference_mode_enabled()  # a setting of each thread

    def call(number: int) -> _Result:
        token = _kernel_threads.set(1)
        try:
            with torch.inference_mode(is_inference):
                return function(number)
        finally:
            _kernel_threads.reset(token)

    # Torch's number of threads belongs to the process: calls that limit it by themselves would restore it in any order.
    with single_threaded_torch(), ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(call, range(count)))


def _wanted_threads() -> int:
    torch_threads = torch.get_num_threads()
    is_limited_by_fork = torch_threads == 1 and _kernel_threads_of_child is not None and get_worker_info() is None
    return _kernel_threads.get() or (_kernel_threads_of_child if is_limited_by_fork else None) or torch_threads


def use_one_torch_thread_in_forked_child() -> None:
    """Set torch to one thread and keep the number of threads of the kernels; see `forked_child`."""
    global _kernel_threads_of_child
    _kernel_threads_of_child = _wanted_threads()
    # A fork inside single_threaded_torch copies its number of threads, which would override settings of the child.
    _kernel_threads.set(None)
    torch.set_num_threads(1)
