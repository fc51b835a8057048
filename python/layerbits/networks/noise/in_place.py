"""Hooks around noisy modules that act in place, such as `nn.ReLU(inplace=True)`.

A module that acts in place returns its argument, and later code may use the argument or the output, so both must have
the noise. The module acts on a clone, because the backward pass of a ReLU needs its result without noise. The noisy
result is then written into the argument.
"""

from __future__ import annotations

import threading
from typing import Any

from torch import Tensor, nn

from layerbits.networks.execution.arguments import first_argument
from layerbits.networks.noise.hooks import NoiseHook
from layerbits.networks.noise.switch import NoiseSwitch


class _Arguments(threading.local):
    """The arguments, with their clones, of the running calls of a module in this thread, outermost first.

    Copies and pickles are empty: a copy runs no call.
    """

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __reduce__(self) -> tuple[type[_Arguments], tuple[()]]:
        """Pickle no arguments."""
        return _Arguments, ()


class CloneArgument(NoiseHook):
    """A forward pre-hook: keep the argument, and give the module a clone of it."""

    def __init__(self, switch: NoiseSwitch, arguments: _Arguments) -> None:
        super().__init__(switch)
        self.arguments = arguments

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with a clone in place of the first."""
        argument = first_argument(args, kwargs)
        clone = argument.clone()
        self.arguments.pairs.append((argument, clone))
        if args:
            return (clone, *args[1:]), kwargs
        return args, {name: clone if value is argument else value for name, value in kwargs.items()}


class WriteArgument(NoiseHook):
    """The forward hook after `AddNoise`: write the output into the argument, and return the argument."""

    def __init__(self, switch: NoiseSwitch, arguments: _Arguments) -> None:
        super().__init__(switch)
        self.arguments = arguments

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor | None) -> Tensor | None:
        """Return the argument with the values of the output; None after an error, which torch raises again."""
        argument, clone = self.arguments.pairs.pop()
        # A later pre-hook of the user may have replaced the clone: then the module did not act on the argument.
        if output is None or (args and args[0] is not clone):
            return output
        return argument.copy_(output)


def add_in_place_hooks(module: nn.Module, switch: NoiseSwitch) -> None:
    """Make a module that acts in place write its output, as changed by earlier hooks, into its argument."""
    arguments = _Arguments()
    clone, write = CloneArgument(switch, arguments), WriteArgument(switch, arguments)
    clone.handle = module.register_forward_pre_hook(clone, with_kwargs=True)
    # Called after errors too: the second run of a checkpointed pass may end within the module.
    write.handle = module.register_forward_hook(write, always_call=True)
