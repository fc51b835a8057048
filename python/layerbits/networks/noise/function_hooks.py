"""Hooks for the activation functions that a forward method calls as functions, such as `F.relu` and `torch.tanh`.

A function is a layer of the module whose forward calls it, itself or by a module outside the network, such as
`nn.ReLU()` in forward. While that module runs, a `TorchFunctionMode` intercepts the calls of torch's functions. A
function that forward calls within `checkpoint(self.method)`, or within the forward method of an autograd function,
would run again without the mode, or be differentiated by a formula that does not include the noise. So such a call of a
layer is refused. (Hooks of the node in the graph could push the mode again in the backward pass. In a trial the
gradient of recomputed functions was right, but functions that a formula calls got new noise.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.checkpointing import WITHOUT_CHECKPOINTS, Caller, find_caller
from layerbits.networks.execution.compilation import (
    is_compiled,
    not_compiled_alone,
    refuse_in_subgraph,
    traces_autograd_function,
)
from layerbits.networks.execution.output_tensor import DENSE_ENCODER
from layerbits.networks.noise.hooks import NoiseHook
from layerbits.networks.noise.padding_tokens import add_padding_hooks, may_make_nested
from layerbits.networks.noise.switch import NoiseSwitch, RunningModule, refuse_interrupted
from layerbits.networks.noise.unobserved import UnobservedFunction
from layerbits.networks.observation.activation_functions import FUNCTIONS, activation_function, spelling_of_call

# Hook of a function call: adds noise to the output, records the output, or warns.
OutputHook = Callable[[nn.Module, tuple[Any, ...], Any], Any] | UnobservedFunction


class EnterFunctions(NoiseHook):
    """The forward pre-hook that makes the listed functions of a module layers, until `LeaveFunctions` runs.

    Attributes
    ----------
    layers : mapping of str to callable or UnobservedFunction
        A hook for each function by its name; empty for a module whose functions are no layers.
    keeps_dense : bool
        Whether the module is an `nn.TransformerEncoder` that could make nested tensors from a padding mask. Torch makes
        none while a mode intercepts functions, so this module gets a mode, too.
    """

    def __init__(self, switch: NoiseSwitch, layers: Mapping[str, OutputHook], *, keeps_dense: bool = False) -> None:
        super().__init__(switch)
        self.layers, self.keeps_dense = dict(layers), keeps_dense

    def is_waiting(self) -> bool:
        """Return whether a second run of a function is still to come."""
        return any(isinstance(layer, NoiseHook) and layer.is_waiting() for layer in self.layers.values())

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Put the module on the stack of the switch, and a mode on torch's stack if the module needs one.

        Raises
        ------
        LayerSelectionError
            A module whose functions are layers gets a nested tensor: torch has attention of nested tensors only in a
            fast path, which calls no functions.
        """
        for argument in args if self.layers else ():
            if isinstance(argument, Tensor) and argument.is_nested:
                raise LayerSelectionError(
                    f"layers: got a nested tensor in {type(module).__name__}, whose functions are layers, wanted a "
                    f"dense tensor; {DENSE_ENCODER}"
                )
        if torch.compiler.is_compiling():
            refuse_in_subgraph(
                f"layers: got {type(module).__name__}, in a network whose functions are layers, in a checkpoint of one "
                "graph (fullgraph=True), wanted modules as layers; make the functions modules, compile without "
                "fullgraph, or checkpoint outside of the compiled network"
            )
        mode = _FunctionMode(self, module) if self.layers or (self.keeps_dense and may_make_nested(module)) else None
        self.switch.counts.running.append(RunningModule(module, mode))
        if mode is not None:
            mode.__enter__()  # type: ignore[no-untyped-call]


class LeaveFunctions(NoiseHook):
    """The forward hook that undoes `EnterFunctions` at the end of a call; torch calls it after errors too.

    Attributes
    ----------
    observed : mapping of str to tuple of int
        The least and the largest number of calls of each function, by spelling, in an observed call of the module.
    """

    def __init__(self, switch: NoiseSwitch, observed: Mapping[str, tuple[int, int]]) -> None:
        super().__init__(switch)
        self.observed = dict(observed)

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """Take the module from both stacks, unless it is absent because the pass began before `noisify`.

        Raises
        ------
        LayerSelectionError
            The forward of the module caught an exception after which torch calls no hooks; or `_check_calls` refuses
            the number of calls.
        """
        running = self.switch.counts.running
        if running and running[-1].owner is module:
            entry = running[-1]
            if entry.mode is not None:
                entry.mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            running.pop()  # last: an entry whose mode is gone can be dropped later, a mode without an entry cannot
            if output is not None and is_compiled():
                self._check_calls(entry)
        elif output is not None and any(entry.owner is module for entry in running):
            raise LayerSelectionError(
                f"layers: got a forward of {type(module).__name__} that caught a KeyboardInterrupt or the like of one "
                "of its modules, wanted one that catches Exception alone: torch then calls no hooks, and functions "
                "have no noise for the rest of the pass"
            )

    def _check_calls(self, entry: RunningModule) -> None:
        """Raise a LayerSelectionError if the mode intercepted fewer or more calls of a function than were observed.

        In compiled code the mode does not intercept some functions, such as `F.tanh`, and intercepts some functions
        that forward does not call, because such code has no stack of Python.
        """
        kind = type(entry.owner).__name__
        for name, number in entry.calls.items():
            _, most = self.observed.get(name, (0, 0))
            if number > most:
                raise LayerSelectionError(
                    f"layers: got more calls of {name!r} in a compiled pass of {kind} than the {most} observed, wanted "
                    "as many, because calls by a hook, a parametrization, a replaced part or a path of training alone "
                    "would get noise too; noisify again with inputs= like these, call the functions of pre-hooks in "
                    "forward, make functions of training modules of torch.nn, or run without torch.compile"
                )
        for name, (least, _) in self.observed.items():
            if entry.calls.get(name, 0) < least:
                plain = name.partition(".")[2].rstrip("_")
                remedy = f"call torch.{plain}, or " * (hasattr(torch, plain) and name != f"torch.{plain}")
                raise LayerSelectionError(
                    f"layers: got fewer calls of {name!r} in a compiled pass of {kind} than the {least} observed, "
                    f"wanted all of them; {remedy}make the function a module of torch.nn, or noisify with inputs= like "
                    "these"
                )


def add_function_hooks(
    root: nn.Module,
    switch: NoiseSwitch,
    layers_of_modules: Mapping[nn.Module, Mapping[str, OutputHook]],
    observed: Mapping[nn.Module, Mapping[str, tuple[int, int]]] = MappingProxyType({}),
) -> None:
    """Register hooks by which the listed functions of modules become layers.

    If any function is listed, all modules get hooks: a compiled pass has no stack of Python, so the hooks alone show
    which module runs. Encoders then compute dense tensors, because torch has attention of nested tensors only without
    hooks.

    Parameters
    ----------
    root : torch.nn.Module
        The network.
    switch : NoiseSwitch
        The switch of the network.
    layers_of_modules : mapping of torch.nn.Module to mapping of str to callable or UnobservedFunction
        The hooks of the functions of each module, by the names of the functions.
    observed : mapping of torch.nn.Module to mapping of str to tuple of int
        The least and the largest number of calls of each function, by spelling, in a call of its module, for compiled
        passes.
    """
    for module in root.modules() if layers_of_modules else ():
        keeps_dense = isinstance(module, nn.TransformerEncoder)
        enter = EnterFunctions(switch, layers_of_modules.get(module, {}), keeps_dense=keeps_dense)
        leave = LeaveFunctions(switch, observed.get(module, {}))
        enter.handle = module.register_forward_pre_hook(enter)
        leave.handle = module.register_forward_hook(leave, always_call=True)
        if isinstance(module, nn.TransformerEncoder):
            add_padding_hooks(module, switch)


class _FunctionMode(TorchFunctionMode):
    """Passes the output of each listed function that the owner's forward calls to the hook of that function."""

    def __init__(self, hook: EnterFunctions, owner: nn.Module) -> None:
        super().__init__()
        self.hook, self.owner = hook, owner

    @not_compiled_alone
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        compiling = torch.compiler.is_compiling()
        function, kwargs = FUNCTIONS.get(func) if compiling else activation_function(func), kwargs or {}
        layer = None if function is None else self.hook.layers.get(function.name)
        if function is None or layer is None:
            return func(*args, **kwargs)
        caller = self._find_caller()
        if caller.module is not self.owner:
            return func(*args, **kwargs)
        if isinstance(layer, UnobservedFunction):
            layer.warn()
            return func(*args, **kwargs)
        if kwargs.get("out") is not None:
            raise LayerSelectionError(
                f"layers: got a call of the function {function.name!r} with out= in {type(self.owner).__name__}, "
                "wanted one that returns its result, to which noise can be added; assign the result"
            )
        running = self.hook.switch.counts.running[-1]
        if caller.in_checkpoint or (caller.in_function and running.with_gradients):
            place = "a checkpoint" if caller.in_checkpoint else "an autograd function in forward"
            remedy = "make the function or the method a submodule"
            raise LayerSelectionError(
                f"layers: got the function {function.name!r} in {place} of {type(self.owner).__name__}, wanted one in "
                "forward itself or in a submodule: the backward pass would run without its noise; "
                f"{remedy if isinstance(layer, NoiseHook) else WITHOUT_CHECKPOINTS}"
            )
        # While torch.compile traces, the caller is not on the stack. It is none of the functions that call methods.
        spelling = function.spelling if compiling else spelling_of_call(function, sys._getframe(1))
        running.calls[spelling] = running.calls.get(spelling, 0) + 1
        argument = args[0] if args else kwargs["input"]
        output, in_place = function.call(args, kwargs)
        result = layer(self.owner, args, output)
        return argument.copy_(result) if in_place else result

    @not_compiled_alone
    def _find_caller(self) -> Caller:
        """Return the owner as the caller if its forward calls the function, itself or by a module not inside it."""
        # A module that calls itself has several modes; only the innermost calls hooks.
        running = self.hook.switch.counts.running
        if not running or running[-1].mode is not self:
            return Caller(None, in_checkpoint=False, in_function=False)
        if torch.compiler.is_compiling():
            refuse_interrupted(self.hook.switch.key)
            # A compiled pass has no stack of Python, but gradients are disabled in an autograd function.
            in_function = not torch.is_grad_enabled() and traces_autograd_function()
            return Caller(self.owner, in_checkpoint=False, in_function=in_function)
        if not any(hook is self.hook for hook in self.owner._forward_pre_hooks.values()):
            # Another thread changed the noise after an interrupt left this mode on the stack of this thread.
            return Caller(None, in_checkpoint=False, in_function=False)
        return find_caller(running[-1].contains)
