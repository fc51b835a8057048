"""The arguments of passes: their checks, and the number of rows of a pass."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from layerbits._base import BackendError, check_count
from layerbits.kernels import as_tensor
from layerbits.networks.execution.output_tensor import all_tensors

Inputs = Tensor | tuple[Tensor, ...] | npt.NDArray[Any] | tuple[npt.NDArray[Any], ...]

# Default limits of a pass: number of rows, and number of input values.
_PASS_ROWS = 2**15
_PASS_VALUES = 2**20


def check_module(model: object) -> None:
    """Raise a TypeError unless `model` is a network."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, wanted a torch.nn.Module")


def call_arguments(inputs: object, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Split inputs into positional and keyword arguments.

    A mapping gives keyword arguments; other inputs are positional arguments.

    Raises
    ------
    TypeError, ValueError
        As `input_tensors`.
    """
    if isinstance(inputs, Mapping):
        return (), {name: input_tensors(value, model)[0] for name, value in inputs.items()}
    return input_tensors(inputs, model), {}


def first_argument(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the first argument of a call, by position or else by name; None if it has none."""
    return args[0] if args else next(iter(kwargs.values()), None)


@contextlib.contextmanager
def naming_inputs(arguments: object) -> Iterator[None]:
    """Raise a ValueError that names the inputs if a network cannot take them as arguments."""
    try:
        yield
    except (BackendError, torch.cuda.OutOfMemoryError):  # RuntimeErrors, but none of a wrong shape or dtype
        raise
    except (RuntimeError, TypeError) as error:  # a wrong shape or dtype; a wrong number or name of arguments
        got = ", ".join(
            f"{tensor.dtype} of shape {'nested' if tensor.is_nested else tuple(tensor.shape)}"
            for tensor in all_tensors(arguments)
        )
        raise ValueError(f"inputs: got {got}, which the network cannot take: {error}") from error


def are_arrays(inputs: object) -> bool:
    """Return whether inputs are arrays, or a tuple that begins with an array."""
    return isinstance(inputs[0] if isinstance(inputs, tuple) and inputs else inputs, np.ndarray)


def input_tensors(inputs: object, model: nn.Module) -> tuple[Tensor, ...]:
    """Return the positional arguments of a network as tensors that share their first axis; move arrays to its device.

    Raises
    ------
    TypeError, ValueError
        Inputs are neither tensors nor arrays, differ in their number of rows, are empty, or hold NaN.
    """
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    kind = np.ndarray if are_arrays(inputs) else Tensor
    if not arguments or not all(isinstance(argument, kind) for argument in arguments):
        got = ", ".join(type(argument).__name__ for argument in arguments) or "an empty tuple"
        raise TypeError(f"inputs: got {got}, wanted a tensor or an array of shape (n, ...), or a tuple of either kind")
    tensors = tuple(_as_input(argument, model) for argument in arguments)
    sizes = {tuple(tensor.shape[:1]) for tensor in tensors}
    if len(sizes) > 1 or sizes & {(), (0,)}:
        got = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"inputs: got shape {got}, wanted (n, ...) with one n >= 1")
    if any(tensor.is_meta for tensor in tensors):
        raise ValueError("inputs: got a tensor on the device meta, wanted a tensor that holds values")
    if any(tensor.isnan().any() for tensor in tensors):
        raise ValueError("inputs: got NaN, wanted numbers; leave those rows out")
    return tensors


def _as_input(argument: Tensor | npt.NDArray[Any], model: nn.Module) -> Tensor:
    if isinstance(argument, Tensor):
        return argument
    tensor = as_tensor("inputs", argument)
    like = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), tensor)
    return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype)


def rows_per_pass(tensors: Sequence[Tensor], chunk: int | None = None) -> int:
    """Return the number of rows of a pass: `chunk`, or by default as many as the size of a row allows."""
    if chunk is None:
        width = sum(math.prod(tensor.shape[1:]) for tensor in tensors)
        chunk = max(1, min(_PASS_ROWS, _PASS_VALUES // max(1, width)))
    return check_count("chunk", chunk, minimum=1)
