"""The switch of a network's noise, and its state in the pass of each thread."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode

from layerbits.networks.execution.call_stack import running_modules
from layerbits.networks.execution.compilation import guard_hooks

_keys = itertools.count()

# How many blocks of `noise_off` this thread or task is in, by the key of a network's `NoiseSwitch`.
_blocks_off: ContextVar[Mapping[int, int]] = ContextVar("_blocks_off", default=MappingProxyType({}))


class RunningModule:
    """A module whose forward runs, the mode that intercepts its function calls, if they are layers, and their numbers.

    `calls` is the number of intercepted calls of each function so far.
    """

    def __init__(self, owner: nn.Module, mode: TorchFunctionMode | None) -> None:
        self.owner, self.mode = owner, mode
        self.calls: dict[str, int] = {}


class _Counts(threading.local):
    """The state of the pass of this thread.

    Attributes
    ----------
    calls : dict of str to int
        The number of calls so far of each module or function, by its name.
    running : list of RunningModule
        The running modules of a network in which functions are layers, outermost first.
    """

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.running: list[RunningModule] = []

    def drop_interrupted(self, starting: nn.Module | None = None) -> None:
        """Forget modules whose forward was interrupted: torch calls no hook after a KeyboardInterrupt.

        `starting` is a network whose forward has not begun, although its call is on the stack.
        """
        if not self.running:
            return
        modules = running_modules() - {starting}
        interrupted = [entry.mode for entry in self.running if entry.owner not in modules]
        if not interrupted:
            return
        self.running = [entry for entry in self.running if entry.owner in modules]
        modes = [_pop_mode() for _ in range(torch._C._len_torch_function_stack())]  # type: ignore[no-untyped-call]
        for mode in reversed(modes):
            if mode not in interrupted:
                _push_mode(mode)  # type: ignore[no-untyped-call]


class NoiseSwitch:
    """State shared by the hooks of a network: the key that turns its noise off, and the counts of calls in a pass.

    Copies and pickles have keys and counts of their own.
    """

    def __init__(self) -> None:
        self.key = next(_keys)
        self.counts = _Counts()

    def __reduce__(self) -> tuple[Callable[[], NoiseSwitch], tuple[()]]:
        """Pickle neither the key nor the counts."""
        return _copied_switch, ()

    @property
    def is_off(self) -> bool:
        """Whether the noise is off in this thread or task."""
        return is_off(self.key)


def _copied_switch() -> NoiseSwitch:
    guard_hooks()
    return NoiseSwitch()


def is_off(key: int) -> bool:
    """Return whether the noise of a switch, by its key, is off in this thread or task."""
    return _blocks_off.get().get(key, 0) > 0


@contextlib.contextmanager
def switched_off(switches: set[NoiseSwitch]) -> Iterator[None]:
    """Turn noise off in this thread or task within a ``with`` block; blocks may overlap."""
    _add_blocks(switches, 1)
    try:
        yield
    finally:
        _add_blocks(switches, -1)


def _add_blocks(switches: set[NoiseSwitch], change: int) -> None:
    blocks = dict(_blocks_off.get())
    for switch in switches:
        blocks[switch.key] = blocks.get(switch.key, 0) + change
    _blocks_off.set({key: count for key, count in blocks.items() if count})
