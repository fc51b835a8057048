"""Hooks for the activation functions that a forward method calls as functions, such as `F.relu` and `torch.tanh`.

A function is a layer of the module whose forward calls it. While that module runs, a `TorchFunctionMode`
intercepts the function calls of the module. A function that forward calls within `checkpoint(self.method)` would run
again without the mode, so such a call is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.checkpointing import calling_module
from layerbits.networks.execution.compilation import is_compiled, not_compiled_alone
from layerbits.networks.execution.output_tensor import DENSE_ENCODER
from layerbits.networks.noise.hooks import NoiseHook
from layerbits.networks.noise.switch import NoiseSwitch, RunningModule
from layerbits.networks.noise.unobserved import UnobservedFunction
from layerbits.networks.observation.activation_functions import FUNCTIONS

# Hook of a function call: adds noise to the output, records the output, or warns.
OutputHook = Callable[[nn.Module, tuple[Any, ...], Any], Any] | UnobservedFunction


class EnterFunctions(NoiseHook):
    """Start treating the listed functions of this module as layers, until `LeaveFunctions`.

    Attributes
    ----------
    layers : mapping of str to callable or UnobservedFunction
        A hook for each function by its name; empty for a module whose functions are no layers.
    """

    def __init__(self, switch: NoiseSwitch, layers: Mapping[str, OutputHook]) -> None:
        super().__init__(switch)
        self.layers = dict(layers)

    def is_waiting(self) -> bool:
        """Return whether a second run of a function is still to come."""
        return any(isinstance(layer, NoiseHook) and layer.is_waiting() for layer in self.layers.values())

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Put the module on the stack of the switch, and a mode on torch's stack if functions of it are layers.

        Raises
        ------
        LayerSelectionError
            A module with such functions gets a nested tensor: torch has no attention of nested tensors beside its fast
            path, which calls no functions.
        """
        for argument in args if self.layers else ():
            if isinstance(argument, Tensor) and argument.is_nested:
                raise LayerSelectionError(
                    f"layers: got a nested tensor in {type(module).__name__}, of which functions are layers, wanted a "
                    f"dense tensor; {DENSE_ENCODER}"
                )
        mode = _FunctionMode(self, module) if self.layers else None
        self.switch.counts.running.append(RunningModule(module, mode))
        if mode is not None:
            mode.__enter__()  # type: ignore[no-untyped-call]


class LeaveFunctions(NoiseHook):
    """The forward hook that ends what `EnterFunctions` began; it is called after errors too.

    Attributes
    ----------
    observed : mapping of str to int
        The number of observed calls of each function in a call of the module.
    """

    def __init__(self, switch: NoiseSwitch, observed: Mapping[str, int]) -> None:
        super().__init__(switch)
        self.observed = dict(observed)

    @not_compiled_alone
    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """Take the module from both stacks; the module is absent if the pass began before `noisify`."""
        running = self.switch.counts.running
        if running and running[-1].owner is module:
            ended = running.pop()
            if ended.mode is not None:
                ended.mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            if output is not None and is_compiled():
                self._check_calls(ended)

    def _check_calls(self, ended: RunningModule) -> None:
        """Raise a LayerSelectionError if torch.compile hid a call of a function from the mode.

        It hides some spellings, such as `F.tanh`.
        """
        for name, number in self.observed.items():
            if ended.calls.get(name, 0) < number:
                raise LayerSelectionError(
                    f"layers: got fewer calls of {name!r} in a compiled pass of {type(ended.owner).__name__} than the "
                    f"{number} observed, wanted all of them; call torch.{name}, or noisify with inputs= like these"
                )


def add_function_hooks(
    root: nn.Module,
    switch: NoiseSwitch,
    layers_of_modules: Mapping[nn.Module, Mapping[str, OutputHook]],
    observed: Mapping[nn.Module, Mapping[str, int]] = MappingProxyType({}),
) -> None:
    """Register hooks that treat the listed functions of each module as layers.

    `layers_of_modules` maps a module to the hooks of its functions, by the names of the functions.

    All modules get the hooks: a compiled pass has no stack of Python, so the hooks alone show which module runs.
    """
    for module in root.modules() if layers_of_modules else ():
        enter, leave = (
            EnterFunctions(switch, layers_of_modules.get(module, {})),
            LeaveFunctions(switch, observed.get(module, {})),
        )
        enter.handle = module.register_forward_pre_hook(enter)
        leave.handle = module.register_forward_hook(leave, always_call=True)


class _FunctionMode(TorchFunctionMode):
    """Pass the output of each activation function in the owner's forward to the hook of that function."""

    def __init__(self, hook: EnterFunctions, owner: nn.Module) -> None:
        super().__init__()
        self.hook, self.owner = hook, owner

    @not_compiled_alone
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        function, kwargs = FUNCTIONS.get(func), kwargs or {}
        layer = None if function is None else self.hook.layers.get(function.name)
        if function is None or layer is None:
            return func(*args, **kwargs)
        is_called_by_owner, in_checkpoint = self._call()
        if not is_called_by_owner:
            return func(*args, **kwargs)
        if isinstance(layer, UnobservedFunction):
            layer.warn()
            return func(*args, **kwargs)
        if kwargs.get("out") is not None:
            raise LayerSelectionError(
                f"layers: got a call of the function {function.name!r} with out= in {type(self.owner).__name__}, "
                "wanted one that returns its result, to which noise can be added; assign the result"
            )
        if in_checkpoint:
            raise LayerSelectionError(
                f"layers: got the function {function.name!r} in a checkpointed method of {type(self.owner).__name__}, "
                "wanted a checkpointed module: the backward pass would run the method again without noise; make the "
                "function or the method a module"
            )
        calls = self.hook.switch.counts.running[-1].calls
        calls[function.name] = calls.get(function.name, 0) + 1
        argument = args[0] if args else kwargs["input"]
        output, in_place = function.call(args, kwargs)
        noisy = layer(self.owner, args, output)
        return argument.copy_(noisy) if in_place else noisy

    @not_compiled_alone
    def _call(self) -> tuple[bool, bool]:
        """Return whether the forward method of the owner calls a function, and whether in a checkpointed part."""
        # A module that calls itself has several modes, of which the innermost serves.
        if self.hook.switch.counts.running[-1].mode is not self:
            return False, False
        if torch.compiler.is_compiling():
            return True, False
        caller, in_checkpoint = calling_module()
        return caller is self.owner, in_checkpoint
