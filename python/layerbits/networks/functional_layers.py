"""Activation functions that a forward method calls as functions, such as `F.relu` and `torch.tanh`.

A function is a layer of the module whose forward calls it. While that module runs, a `TorchFunctionMode` sees its
function calls. A function that forward calls within `checkpoint(self.method)` would be run again without the mode, so
it is refused.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from layerbits._base import LayerSelectionError
from layerbits.networks.checkpointing import is_checkpoint_frame
from layerbits.networks.noise_hooks import NoiseHook, NoiseSwitch

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
        """Return the output, and whether the call would have changed its argument in place; the argument stays."""
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

# Adds noise to the output of a function, or records it.
OutputHook = Callable[[nn.Module, tuple[Any, ...], Any], Any]


class EnterFunctions(NoiseHook):
    """A forward pre-hook of a module: from now on its function calls are layers.

    Attributes
    ----------
    layers : mapping of str to callable
        A hook for each function by its name.
    """

    def __init__(self, switch: NoiseSwitch, layers: Mapping[str, OutputHook]) -> None:
        super().__init__(switch)
        self.layers = dict(layers)

    def is_waiting(self) -> bool:
        """Return whether a second run of a function is still to come."""
        return any(isinstance(layer, NoiseHook) and layer.is_waiting() for layer in self.layers.values())

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Put a mode on torch's stack, and on the stack of the switch."""
        mode = _FunctionMode(self, module)
        self.switch.counts.modes.append(mode)
        mode.__enter__()  # type: ignore[no-untyped-call]


class LeaveFunctions(NoiseHook):
    """The forward hook that ends what `EnterFunctions` began; it is called after errors too."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """Take the mode from both stacks."""
        self.switch.counts.modes.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]


def add_function_hooks(module: nn.Module, switch: NoiseSwitch, layers: Mapping[str, OutputHook]) -> None:
    """Make functions that a module calls layers, with a hook for each function by its name."""
    enter, leave = EnterFunctions(switch, layers), LeaveFunctions(switch)
    enter.handle = module.register_forward_pre_hook(enter)
    leave.handle = module.register_forward_hook(leave, always_call=True)


class _FunctionMode(TorchFunctionMode):
    """Gives the output of activation functions that `owner` calls to the hooks of its functions."""

    def __init__(self, hook: EnterFunctions, owner: nn.Module) -> None:
        super().__init__()
        self.hook, self.owner = hook, owner

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        function, kwargs = FUNCTIONS.get(func), kwargs or {}
        layer = None if function is None else self.hook.layers.get(function.name)
        if function is None or layer is None or not self._is_called_by_owner(function.name):
            return func(*args, **kwargs)
        argument = args[0] if args else kwargs["input"]
        output, in_place = function.call(args, kwargs)
        noisy = layer(self.owner, args, output)
        return argument.copy_(noisy) if in_place else noisy

    def _is_called_by_owner(self, name: str) -> bool:
        if torch.compiler.is_compiling():
            return self.hook.switch.counts.modes[-1] is self
        owner, in_checkpoint = calling_module()
        if owner is self.owner and in_checkpoint:
            raise LayerSelectionError(
                f"layers: got the function {name!r} in a checkpointed method of {type(owner).__name__}, wanted a "
                "checkpointed module: the backward pass would run the method again without noise; make the function "
                "or the method a module"
            )
        return owner is self.owner


def calling_module() -> tuple[nn.Module | None, bool]:
    """Return the module whose forward runs, and whether a part of that forward is checkpointed."""
    in_checkpoint = False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # torch.compile may run a graph, which has its noise already, within the forward of the module.
        if frame.f_code is _CALL or frame.f_code.co_filename.startswith(_GRAPH):
            return frame.f_locals.get("self"), in_checkpoint
        in_checkpoint = in_checkpoint or is_checkpoint_frame(frame)
        frame = frame.f_back
    return None, in_checkpoint


_CALL = nn.Module._call_impl.__code__
_GRAPH = "<eval_with_key>"
