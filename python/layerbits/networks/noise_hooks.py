"""The forward hook that adds the noise of a layer, T = S + Z, and the switch that turns it off.

The noise of an ordinary pass comes from torch's own generators, as that of dropout does. So whatever handles dropout
handles the noise: activation checkpointing, compilation, `torch.func.vmap`, saved states of the generators.
"""

from __future__ import annotations

import collections
import contextlib
import inspect
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode
from torch.utils.hooks import RemovableHandle

from layerbits._base import LayerSelectionError
from layerbits.networks import call_stack, checkpointing
from layerbits.networks.call_stack import running_modules
from layerbits.networks.checkpointing import RecomputedCalls, in_backward_pass, running_passes
from layerbits.networks.gaussian_noise import GaussianNoise
from layerbits.networks.output_tensor import replace_tensor, signal_of

_Function = TypeVar("_Function", bound=Callable[..., Any])

_keys = itertools.count()

# How many blocks of `noise_off` this thread or task is in, by the key of a network's `NoiseSwitch`.
_blocks_off: ContextVar[Mapping[int, int]] = ContextVar("_blocks_off", default=MappingProxyType({}))


class RunningModule:
    """A module whose forward runs, and the mode that intercepts its function calls, if they are layers."""

    def __init__(self, owner: nn.Module, mode: TorchFunctionMode | None) -> None:
        self.owner, self.mode = owner, mode


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
        return _is_off(self.key)


_not_compiled_alone: list[Any] = [
    function
    for place in (call_stack, checkpointing, RecomputedCalls)
    for function in vars(place).values()
    if inspect.isfunction(function)
]


def not_compiled_alone(function: _Function) -> _Function:
    """Mark a function that torch.compile may compile as a part of a pass, but not by itself: it inspects the stack."""
    _not_compiled_alone.append(function)
    return function


def _copied_switch() -> NoiseSwitch:
    guard_hooks()
    return NoiseSwitch()


def guard_hooks() -> None:
    """Make torch.compile guard the hooks of modules.

    Compiled code with these guards detects that a hook is added, removed or replaced, or that an attribute of a hook
    changes. By default torch does not guard hooks: code that was compiled for a module without noise serves a noisy
    module of the same class too, which then has no noise. Code that was compiled by default does not get guards
    afterwards, so the first call discards that code.
    """
    from torch._dynamo import config  # imported here because the import takes one second
    from torch._dynamo.eval_frame import skip_code

    # Outside of compiled code torch.compile would compile these functions by themselves.
    for function in _not_compiled_alone:
        skip_code(function.__code__)
    if config.skip_nnmodule_hook_guards:
        config.skip_nnmodule_hook_guards = False
        compile_again()


def _is_off(key: int) -> bool:
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


# Whether the noise was off in the checkpointed passes of compiled code, by the key of a network's `NoiseSwitch`.
_compiled_calls: dict[int, RecomputedCalls] = collections.defaultdict(RecomputedCalls)


# torch.compile does not trace into a custom operator, so the noise equals that of an uncompiled pass, and `noise_off`
# has an effect.
@torch.library.custom_op(
    "layerbits::standard_normal",
    mutates_args=(),
    schema="(Tensor signal, ScalarType dtype, int key) -> Tensor",
    tags=(torch.Tag.nondeterministic_seeded,),
)
def _standard_normal(signal: Tensor, dtype: torch.dtype, key: int) -> Tensor:
    """Return standard normal values of the shape of a signal; zeros if the noise of the key is off."""
    passes, calls = running_passes(), _compiled_calls[key]
    is_off = _is_off(key) if passes.second is None else calls.recall("a layer of compiled code", passes)
    calls.remember(passes, is_off)
    return torch.zeros_like(signal, dtype=dtype) if is_off else torch.randn_like(signal, dtype=dtype)


@_standard_normal.register_fake
def _(signal: Tensor, dtype: torch.dtype, key: int) -> Tensor:
    return torch.empty_like(signal, dtype=dtype)


class NoiseHook:
    """Base class of the hooks that make a network noisy."""

    def __init__(self, switch: NoiseSwitch) -> None:
        self.switch = switch
        # Unpickling a handle advances torch's hook counter, so that later hooks get new ids.
        self.handle: RemovableHandle | None = None

    def is_waiting(self) -> bool:
        """Return whether the backward pass of a checkpointed pass, which needs this hook, is still to come."""
        return False


def noise_hooks(model: nn.Module) -> list[NoiseHook]:
    """Return the hooks that make a network, or a module inside it, noisy."""
    hooks: Iterator[tuple[object, ...]] = (
        (*module._forward_hooks.values(), *module._forward_pre_hooks.values()) for module in model.modules()
    )
    return [hook for hooks_of_module in hooks for hook in hooks_of_module if isinstance(hook, NoiseHook)]


def is_noisy(model: nn.Module) -> bool:
    """Return whether a network has noise, or will have it in its first call."""
    return bool(noise_hooks(model))


def check_no_pass_waits(model: nn.Module) -> None:
    """Raise a ValueError if the hooks of a network are needed in the backward pass of a checkpointed pass."""
    if any(hook.is_waiting() for hook in noise_hooks(model)):
        raise ValueError(
            "model: got a network with a checkpointed pass whose backward pass is still to come and would run with "
            "other noise; run it before the noise changes, or delete the output of the pass"
        )


def delete_noise_hooks(model: nn.Module) -> None:
    """Delete the hooks that make a network noisy; in a shadow, those of the shadow alone."""
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(hook, NoiseHook)]:
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)
                module._forward_hooks_always_called.pop(key, None)


def compile_again() -> None:
    """Discard compiled code, so that compiled networks compile again in their next call.

    The guards of `guard_hooks` detect changed hooks too. But code that was compiled under torch's default setting lacks
    these guards, and each recompilation counts towards torch's `recompile_limit`, beyond which torch does not compile.
    """
    compiler = sys.modules.get("torch._dynamo.convert_frame")
    # Reset only if torch.compile has compiled a frame: an optimizer imports torch._dynamo without compiling.
    if compiler is not None and getattr(compiler, "FRAME_COUNTER", 1) > 0:
        torch.compiler.reset()


class PassStart(NoiseHook):
    """A forward pre-hook of a noisy network: start to count the calls of its modules."""

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Forget the counts of the last pass, and modules whose forward was interrupted."""
        if self.switch.counts.running:
            self.switch.counts.drop_interrupted(module)
        self.switch.counts.calls.clear()  # compiled code loses an assignment to an attribute of a `threading.local`


class AddNoise(NoiseHook):
    """The forward hook of a noisy module, or the hook of a noisy function (`EnterFunctions`).

    Attributes
    ----------
    switch : NoiseSwitch
        The switch of the network.
    name : str
        Name of the module, or of the function with the name of the module that calls it.
    noise : tuple of GaussianNoise or None
        Noise of each call of the module in a pass, None for a call without noise. If all calls have the same noise,
        they are not counted, and a pass may have any number of them.
    positions : tuple of int
        Position of each call among all calls of the network in a pass.
    """

    def __init__(
        self, switch: NoiseSwitch, name: str, noise: tuple[GaussianNoise | None, ...], positions: tuple[int, ...]
    ) -> None:
        super().__init__(switch)
        self.name, self.noise, self.positions = name, noise, positions
        self._recomputed = RecomputedCalls()

    @property
    def is_uniform(self) -> bool:
        """Whether all calls have the same noise."""
        return all(noise is self.noise[0] for noise in self.noise)

    def is_noisy_call(self, number: int) -> bool:
        """Return whether a call has noise, by its number in a pass, from 1."""
        # Call numbers restart at each call of the noisy network inside a larger network.
        return self.noise[0 if self.is_uniform else (number - 1) % len(self.noise)] is not None

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        """Return the output of a call with its noise."""
        noise = self.next_noise() if torch.compiler.is_compiling() else self._noise_of_run()
        if noise is None:
            return output
        signal = signal_of(self.name, output)
        noise.check(self.name, () if signal.is_nested else signal.shape)
        dtype = torch.promote_types(signal.dtype, torch.float32)
        if torch.compiler.is_compiling():
            normal = torch.ops.layerbits.standard_normal(signal.detach(), dtype, self.switch.key)
        else:
            normal = torch.randn_like(signal, dtype=dtype)
        return replace_tensor(output, signal, noise.add(signal, normal))

    def is_waiting(self) -> bool:
        """Return whether a second run of the layer is still to come."""
        return self._recomputed.is_waiting()

    def next_noise(self) -> GaussianNoise | None:
        """Count a call, if calls differ, and return its noise.

        Raises
        ------
        LayerSelectionError
            The pass has more calls than were observed.
        """
        if self.is_uniform:
            return self.noise[0]
        calls = self.switch.counts.calls
        index = calls.get(self.name, 0)
        calls[self.name] = index + 1
        if index >= len(self.noise):
            raise LayerSelectionError(
                f"layers: got call {index + 1} of {self.name!r}, of which {len(self.noise)} calls were observed and "
                "have noise that differs; call the whole network, or noisify again with inputs= for which the network "
                "calls this layer equally often"
            )
        return self.noise[index]

    @not_compiled_alone
    def _noise_of_run(self) -> GaussianNoise | None:
        """Return the noise of a call, which is None if the noise is off."""
        passes = running_passes()
        if passes.second is not None:
            noise: GaussianNoise | None = self._recomputed.recall(self.name, passes)
        elif in_backward_pass() and not self.is_uniform:
            raise LayerSelectionError(
                f"layers: got {self.name!r}, whose calls have noise that differs, in a backward pass, wanted "
                "checkpoints made by torch.utils.checkpoint; give all its calls the same sigma"
            )
        else:
            noise = self.next_noise()
            if self.switch.is_off:
                noise = None
        self._recomputed.remember(passes, noise)
        return noise
