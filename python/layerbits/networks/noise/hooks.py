"""The hooks that make a network noisy: their base class, a list of them, and those at the start and end of a pass."""

from __future__ import annotations

import gc
from typing import Any

import torch
from torch import nn

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.call_stack import is_running_twice
from layerbits.networks.execution.compilation import not_compiled_alone
from layerbits.networks.execution.own_hooks import OwnHook, delete_own_hooks, own_hooks
from layerbits.networks.noise.switch import NoiseSwitch, drop_interrupted_passes


class NoiseHook(OwnHook):
    """Base class of the hooks that make a network noisy."""

    def __init__(self, switch: NoiseSwitch) -> None:
        super().__init__()
        self.switch = switch

    @property
    def __name__(self) -> str:
        """Refuse `torch.jit.script`, which reads the names of hooks."""
        raise TypeError(
            "model: got a noisy network for torch.jit.script, wanted one without noise, because TorchScript cannot run "
            "its hooks; call layerbits.remove_noise first"
        )

    def is_waiting(self) -> bool:
        """Return whether the backward pass of a checkpointed pass, which needs this hook, is still to come."""
        return False


def noise_hooks(model: nn.Module) -> list[NoiseHook]:
    """Return the hooks that make a network, or a module inside it, noisy."""
    return [hook for hook in own_hooks(model) if isinstance(hook, NoiseHook)]


def delete_noise_hooks(model: nn.Module) -> None:
    """Delete the hooks of layerbits in a network, and the function modes that interrupted passes of this thread left.

    Such a mode would add the deleted noise to later passes of the network. The modes of other networks, which may no
    longer exist, would stop torch.compile.
    """
    drop_interrupted_passes()
    delete_own_hooks(model)


def is_noisy(model: nn.Module) -> bool:
    """Return whether a network has noise, even if turned off, or will have noise from its first call on."""
    return bool(noise_hooks(model))


def check_no_pass_waits(model: nn.Module) -> None:
    """Raise a ValueError if the backward pass of a checkpointed pass, which needs hooks, is still to come."""
    if any(hook.is_waiting() for hook in noise_hooks(model)):
        raise ValueError(
            "model: got a network with a checkpointed pass whose backward pass is still to come and would run with "
            "other noise, wanted none; run that backward pass first, or delete the output of the pass or the exception "
            "that it raised, such as sys.last_value"
        )


def check_shares_no_noise(root: nn.Module) -> None:
    """Raise a ValueError if a network shares a module with another noisy network, and neither contains the other."""
    if _shared_module(root):
        gc.collect()  # a network without references may not be deleted yet
    if shared := _shared_module(root):
        words, other = shared
        # Two networks may share a module of each, so that neither can lose its noise first.
        remedy = "" if _shared_module(other) else "call layerbits.remove_noise on the other network, or "
        raise ValueError(
            f"model: got {words}, which the noisy network {type(other).__name__} shares and which would lose its noise "
            f"there, wanted modules of this network alone; {remedy}use a copy.deepcopy of the module here"
        )


def _shared_module(root: nn.Module) -> tuple[str, nn.Module] | None:
    """Return words for a module that a network shares with another noisy one, and that network, if there is one."""
    parts = set(root.modules())
    for name, module in root.named_modules():
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            other = hook.switch.root if isinstance(hook, NoiseHook) else None
            if other is None or other in parts:
                continue
            other_parts = set(other.modules())
            if root not in other_parts and module in other_parts:
                return f"{type(module).__name__} at {name!r}", other
    return None


class PassStart(NoiseHook):
    """The forward pre-hook of a noisy network that starts the counts of calls anew for each pass.

    Attributes
    ----------
    calls_itself : bool
        Whether the forward method of the network called the network itself in the observed pass.
    """

    def __init__(self, switch: NoiseSwitch, *, calls_itself: bool) -> None:
        super().__init__(switch)
        self.calls_itself = calls_itself

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note that a pass runs; delete the counts of the last one, and modules whose forward was interrupted.

        If the network calls itself, the inner call keeps the counts.

        Raises
        ------
        LayerSelectionError
            A compiled network calls itself, and the calls of a layer differ in their noise.
        """
        # torch.compile cannot trace the removal, and `refuse_interrupted` refuses the functions of this pass instead.
        if self.switch.counts.running and not torch.compiler.is_compiling():
            self.switch.counts.drop_interrupted(module)
        calls, passes = self.switch.counts.calls, self.switch.counts.passes
        # Both are cleared, because compiled code loses an assignment to an attribute of a `threading.local`.
        if torch.compiler.is_compiling():
            if calls and self.calls_itself:  # there are no counts if all calls of each layer have the same noise
                raise LayerSelectionError(
                    f"layers: got {type(module).__name__}, which calls itself, with noise that differs by call, in a "
                    "compiled pass, wanted one sigma for all calls of each layer; or run the network uncompiled"
                )
            calls.clear()
            passes.clear()
        elif (calls or passes) and not is_running_twice(module):
            calls.clear()
            passes.clear()
        passes.append(module)


class PassEnd(NoiseHook):
    """The forward hook of a noisy network that notes the end of a pass; torch calls it after errors too."""

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """Note that the pass has ended, unless it began before `noisify`."""
        if self.switch.counts.passes:
            self.switch.counts.passes.pop()
