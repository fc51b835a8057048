"""The activation functions of torch that act value by value and have no weights, such as `F.relu` and `torch.tanh`."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Mapping
from types import FrameType, FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

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
        Name without the underscore of a function that changes its argument in place.
    spelling : str
        The namespace and the whole name: torch.compile shows ``torch.tanh(x)`` and ``x.tanh()`` to a
        `TorchFunctionMode`, but not ``F.tanh(x)``.
    plain : callable
        The function without the underscore.
    in_place : bool
        Whether the function has the underscore, and so always changes its argument in place.
    in_place_index : int
        Position of the argument `inplace`; -1 if the function has no such argument.
    """

    name: str
    spelling: str
    plain: Callable[..., Tensor]
    in_place: bool
    in_place_index: int

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Tensor, bool]:
        """Compute the output without changing the argument; return it, and whether the call asks for a change.

        The caller then writes into the argument, which the backward pass may need: the function gets a clone.
        """
        in_place = self.acts_in_place(args, kwargs)
        if in_place:
            if args:
                args = (args[0].clone(), *args[1:])
            else:
                kwargs = {**kwargs, "input": kwargs["input"].clone()}
        if self.in_place_index < 0:
            return self.plain(*args, **kwargs), in_place
        others = {name: value for name, value in kwargs.items() if name != "inplace"}
        return self.plain(*args[: self.in_place_index], **others), in_place

    def acts_in_place(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether a call changes its argument."""
        index = self.in_place_index
        if index < 0:
            return self.in_place
        return bool(args[index] if len(args) > index else kwargs.get("inplace", False))


def _activation_functions() -> dict[Any, ActivationFunction]:
    functions: dict[Any, ActivationFunction] = {}
    for namespace, name, suffix in itertools.product((functional, torch, Tensor), _NAMES, ("", "_")):
        function = getattr(namespace, name + suffix, None)
        if function is None:
            continue
        plain = function if not suffix else getattr(functional if hasattr(functional, name) else torch, name)
        parameters = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
        index = parameters.index("inplace") if "inplace" in parameters else -1
        # Within `functional.threshold`, torch.compile shows the call of `torch.threshold`.
        shown: Any = torch if function is functional.threshold else namespace
        spelling = f"{shown.__name__.split('.')[-1]}.{name}{suffix}"
        functions[function] = ActivationFunction(name, spelling, plain, bool(suffix), index)
    return functions


FUNCTIONS = _activation_functions()

# The functions of `torch.nn.functional` that call a method of the tensor, by their code.
_CALL_METHODS = {
    function.__code__: activation.spelling
    for function, activation in FUNCTIONS.items()
    if function in (functional.sigmoid, functional.tanh)
}


def activation_function(func: Any) -> ActivationFunction | None:
    """Return the activation function that a `TorchFunctionMode` gets, None if it gets another function.

    A program may replace a function of `torch.nn.functional`, for instance to count its calls.
    """
    function = FUNCTIONS.get(func)
    if function is None and isinstance(func, FunctionType):
        name = next((name for name in _NAMES if vars(functional).get(name) is func), "")
        original = next((other for other in FUNCTIONS.values() if other.spelling == f"functional.{name}"), None)
        function = original and dataclasses.replace(original, plain=func)
    return function


def spelling_of_call(function: ActivationFunction, caller: FrameType) -> str:
    """Return the spelling of a call that a frame makes."""
    return _CALL_METHODS.get(caller.f_code, function.spelling)
