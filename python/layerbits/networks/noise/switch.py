"""The switch that turns a network's noise off, and the counts of calls in the pass of each thread."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode

from layerbits.networks.execution.call_stack import modules_inside, running_modules
from layerbits.networks.execution.compilation import guard_hooks, not_compiled_alone

_keys = itertools.count()


class _Block:
    """A ``with`` block of `noise_off`.

    Attributes
    ----------
    model : torch.nn.Module
        The network.
    keys : set of int
        Keys of the switches that the block turns off.
    is_open : bool
        False once the block has ended: threads, tasks and callbacks that began within the block keep it in `_blocks`.
    """

    def __init__(self, model: nn.Module, keys: set[int]) -> None:
        self.model, self.keys, self.is_open = model, keys, True


# The blocks of `noise_off` that this thread or task entered or inherited.
_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("_blocks", default=())


class RunningModule:
    """A call of a module whose forward runs.

    Attributes
    ----------
    owner : torch.nn.Module
        The module.
    mode : TorchFunctionMode or None
        The mode that intercepts its function calls; None if none of its functions is a layer.
    with_gradients : bool
        Whether gradients were enabled at the start of the call.
    calls : dict of str to int
        The number of intercepted calls of each function so far, by spelling.
    """

    def __init__(self, owner: nn.Module, mode: TorchFunctionMode | None) -> None:
        self.owner, self.mode, self.with_gradients = owner, mode, torch.is_grad_enabled()
        self.calls: dict[str, int] = {}
        self._parts: set[nn.Module] | None = None

    @not_compiled_alone
    def contains(self, module: nn.Module) -> bool:
        """Return whether a module is the owner or inside it; a module that forward adds later may be missing."""
        if module is self.owner:
            return True
        if self._parts is None:  # once for each call, because a large network has many modules
            self._parts = modules_inside(self.owner)
        return module in self._parts


class _Counts(threading.local):
    """The state of a network's running pass, separate in each thread.

    Attributes
    ----------
    calls : dict of str to int
        The number of calls so far of each module or function, by its name.
    passes : list of torch.nn.Module
        The network, once for each of its calls that run: more than once if it calls itself.
    running : list of RunningModule
        The running modules of a network in which functions are layers, outermost first.
    dropped : Tensor of shape (rows, tokens) or None
        Where the `nn.TransformerEncoder` that runs has padding tokens that are 0 behind its layers.
    """

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.passes: list[nn.Module] = []
        self.running: list[RunningModule] = []
        self.dropped: Tensor | None = None

    @not_compiled_alone
    def drop_interrupted(self, starting: nn.Module | None = None) -> None:
        """Remove modules whose forward was interrupted, and their modes from torch's stack.

        Torch calls no hook after a KeyboardInterrupt. `starting` is a network whose forward has not begun, although its
        call is on the stack.
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

    Copies and pickles have keys and counts of their own, and no `root`.

    Parameters
    ----------
    root : torch.nn.Module, optional
        The network, to which the switch keeps a weak reference.
    """

    def __init__(self, root: nn.Module | None = None) -> None:
        self.key = next(_keys)
        self.counts = _Counts()
        self._root = None if root is None else weakref.ref(root)
        _switches[self.key] = self

    @property
    def root(self) -> nn.Module | None:
        """The network; None if it is gone or not known."""
        return None if self._root is None else self._root()

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


# The switches by their keys: functions that torch.compile calls while it traces get constants, such as a key.
_switches: weakref.WeakValueDictionary[int, NoiseSwitch] = weakref.WeakValueDictionary()


def drop_interrupted_passes() -> None:
    """Remove the modules and modes that interrupted passes of any network left in this thread."""
    for switch in list(_switches.values()):
        switch.counts.drop_interrupted()


def refuse_interrupted(key: int) -> None:
    """Raise an error of torch.compile if it traces code after an interrupted pass of a network.

    `key` is that of the network's switch. The function modes of that pass are still on torch's stack, and would add
    noise to the code. With fullgraph=True torch raises this error; otherwise the function that would get the noise runs
    uncompiled, without noise.
    """
    switch = _switches[key]
    # The list has the modules whose calls began before the traced code, and so are on Python's stack if they still run.
    modules = running_modules()
    interrupted = [entry.owner for entry in switch.counts.running if entry.owner not in modules]
    if interrupted:
        from torch._dynamo.exc import Unsupported

        name = type(switch.root or interrupted[0]).__name__
        raise Unsupported(
            f"model: got a noisy {name} whose last pass was interrupted, so that compiled code would get its noise, "
            f"wanted one whose last pass has ended; run that {name} once without torch.compile, or call "
            "layerbits.remove_noise on it or on any other network"
        )


# With this attribute torch.compile calls the function when it traces a pass.
refuse_interrupted._dynamo_marked_constant = True  # type: ignore[attr-defined]


def is_off(key: int) -> bool:
    """Return whether the noise of a switch, by its key, is off in this thread or task."""
    # A list, because torch.compile would try to compile the frame of a generator expression, and fail.
    return any([block.is_open and key in block.keys for block in _blocks.get()])


def open_block(model: nn.Module, switches: set[NoiseSwitch]) -> _Block:
    """Turn the noise of a network off in this thread or task until `close_block`; blocks may overlap."""
    block = _Block(model, {switch.key for switch in switches})
    _blocks.set((*_open_blocks(), block))
    return block


def close_block(block: _Block) -> None:
    """End a block that `open_block` began, also in the threads, tasks and callbacks that inherited it."""
    block.is_open = False
    _blocks.set(_open_blocks())


class SwitchedOff(contextlib.ContextDecorator):
    """A context manager and decorator that turns the noise of a network off; it may be entered any number of times.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    find_switches : callable
        Returns the switches of the noise of the network when a block begins.
    """

    def __init__(self, model: nn.Module, find_switches: Callable[[nn.Module], set[NoiseSwitch]]) -> None:
        self._model, self._find_switches = model, find_switches
        self._opened: list[_Block] = []

    def __call__(self, function: Any) -> Any:
        """Decorate a function: each call is a block of its own.

        Raises
        ------
        TypeError
            The body of the function does not run at its call, but later.
        """
        runs_later = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        if any(is_kind(function) for is_kind in runs_later):
            raise TypeError(
                "noise_off: got a generator or async function to decorate, wanted a function that runs at its call; "
                "put `with noise_off(model):` into its body"
            )
        return super().__call__(function)

    def __enter__(self) -> None:
        self._opened.append(open_block(self._model, self._find_switches(self._model)))

    def __exit__(self, *error: object) -> None:
        """End a block.

        Raises
        ------
        RuntimeError
            All blocks have ended.
        """
        if not self._opened:
            raise RuntimeError(
                "noise_off: got an exit without an entry, wanted one exit for each entry; use `with noise_off(model):`"
            )
        # The last block of this thread or task; if there is none, a generator was closed in another one.
        own_blocks = _blocks.get()
        block = next((block for block in reversed(self._opened) if block in own_blocks), self._opened[-1])
        self._opened.remove(block)
        close_block(block)


def join_open_blocks(root: nn.Module, switch: NoiseSwitch) -> None:
    """Turn a new switch of a network off in the blocks of `noise_off` around this call that include the network.

    Raises
    ------
    ValueError
        A block is that of a part of the network.
    """
    for block in _open_blocks():
        if root in set(block.model.modules()):
            block.keys.add(switch.key)
        elif block.model in set(root.modules()):
            raise ValueError(
                f"model: got {type(root).__name__}, which contains the {type(block.model).__name__} of a noise_off "
                "block, wanted a call outside of the block, because the noise of the whole network is on or off at once"
            )


def _open_blocks() -> tuple[_Block, ...]:
    return tuple(block for block in _blocks.get() if block.is_open)
