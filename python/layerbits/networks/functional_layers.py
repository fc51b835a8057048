"""Activation functions that a forward method calls as functions, such as `F.relu` and `torch.tanh`.

A function is a layer of the module whose forward calls it. While that module runs, a `TorchFunctionMode`
intercepts the function calls of the module. A function that forward calls within `checkpoint(self.method)` would run
again without the mode, so such a call is refused.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from layerbits._base import LayerSelectionError
from layerbits.networks.call_stack import frames, runs_module
from layerbits.networks.checkpointing import is_checkpoint_frame
from layerbits.networks.compilation import is_compiled, not_compiled_alone
from layerbits.networks.noise_hooks import NoiseHook
from layerbits.networks.noise_switch import NoiseSwitch, RunningModule

_NAMES = (
    "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish",
    "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "tanh", "tanhshrink",
    "threshold",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ActivationFunction:
    """An activation function.

    Attributes
    ----------
    name : str
        Its name, without the underscore of a function that changes its argument in place.
    plain : callable
        The function that leaves its argument as it is.
    in_place : bool
        Whether it changes its argument in place.
    in_place_index : int
        Position of the argument `inplace`; -1 if it has none.
    """

    name: str
    plain: Callable[..., Tensor]
    in_place: bool
    in_place_index: int

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Tensor, bool]:
        """Return the output, and whether the call would have changed its argument, which is not modified."""
        if self.in_place_index < 0:
            return self.plain(*args, **kwargs), self.in_place
        index = self.in_place_index
        in_place = bool(args[index] if len(args) > index else kwargs.get("inplace", False))
        others = {name: value for name, value in kwargs.items() if name != "inplace"}
        return self.plain(*args[:index], **others), in_place


def _activation_functions() -> dict[Any, ActivationFunction]:
    functions: dict[Any, ActivationFunction] = {}
    for place, name, suffix in itertools.product((functional, torch, Tensor), _NAMES, ("", "_")):
        function = getattr(place, name + suffix, None)
        if function is None:
            continue
        plain = function if not suffix else getattr(functional if hasattr(functional, name) else torch, name)
        parameters = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
        index = parameters.index("inplace") if "inplace" in parameters else -1
        functions[function] = ActivationFunction(name, plain, bool(suffix), index)
    return functions


FUNCTIONS = _activation_functions()

# Hook of a function call: adds noise to the output or records the output.
OutputHook = Callable[[nn.Module, tuple[Any, ...], Any], Any]


class EnterFunctions(NoiseHook):
    """Start treating the listed functions of this module as layers, until `LeaveFunctions`.

    Attributes
    ----------
    layers : mapping of str to callable
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
        """Put the module on the stack of the switch, and a mode on torch's stack if functions of it are layers."""
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

    All modules get the hooks, so that a compiled pass, which cannot look at the stack of Python, tells the functions of
    a module from those of its parts.
    """
    for module in root.modules() if layers_of_modules else ():
        enter, leave = (
            EnterFunctions(switch, layers_of_modules.get(module, {})),
            LeaveFunctions(switch, observed.get(module, {})),
        )
        enter.handle = module.register_forward_pre_hook(enter)
        leave.handle = module.register_forward_hook(leave, always_call=True)


class _FunctionMode(TorchFunctionMode):
    """Pass the output of each activation function in `owner`'s forward to that function's hook."""

    def __init__(self, hook: EnterFunctions, owner: nn.Module) -> None:
        super().__init__()
        self.hook, self.owner = hook, owner

    @not_compiled_alone
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        function, kwargs = FUNCTIONS.get(func), kwargs or {}
        layer = None if function is None else self.hook.layers.get(function.name)
        if function is None or layer is None or not self._is_called_by_owner(function.name):
            return func(*args, **kwargs)
        calls = self.hook.switch.counts.running[-1].calls
        calls[function.name] = calls.get(function.name, 0) + 1
        argument = args[0] if args else kwargs["input"]
        output, in_place = function.call(args, kwargs)
        noisy = layer(self.owner, args, output)
        return argument.copy_(noisy) if in_place else noisy

    @not_compiled_alone
    def _is_called_by_owner(self, name: str) -> bool:
        # A module that calls itself has several modes, of which the innermost serves.
        if self.hook.switch.counts.running[-1].mode is not self:
            return False
        if torch.compiler.is_compiling():
            return True
        owner, in_checkpoint = calling_module()
        if owner is self.owner and in_checkpoint:
            raise LayerSelectionError(
                f"layers: got the function {name!r} in a checkpointed method of {type(owner).__name__}, wanted a "
                "checkpointed module: the backward pass would run the method again without noise; make the function "
                "or the method a module"
            )
        return owner is self.owner


@not_compiled_alone
def calling_module() -> tuple[nn.Module | None, bool]:
    """Return the module whose forward runs, and whether a part of that forward is checkpointed."""
    in_checkpoint = False
    for frame in frames():
        # torch.compile may run a graph, which has its noise already, within the forward of the module.
        if runs_module(frame):
            return frame.f_locals.get("self"), in_checkpoint
        in_checkpoint = in_checkpoint or is_checkpoint_frame(frame)
    return None, in_checkpoint
