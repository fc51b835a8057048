"""The arguments of a pass: errors that name them, and the number of rows of a pass."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layerbits._base import BackendError, check_count
from layerbits.networks.execution.output_tensor import all_tensors

# Default limits of a pass: number of rows, and number of input values.
_PASS_ROWS = 2**15
_PASS_VALUES = 2**20


def check_module(model: object) -> None:
    """Raise a TypeError unless `model` is a network."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, wanted a torch.nn.Module")


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


def rows_per_pass(tensors: Sequence[Tensor], chunk: int | None = None) -> int:
    """Return the number of rows of a pass: `chunk`, or by default as many as the size of a row allows."""
    if chunk is None:
        width = sum(math.prod(tensor.shape[1:]) for tensor in tensors)
        chunk = max(1, min(_PASS_ROWS, _PASS_VALUES // max(1, width)))
    return check_count("chunk", chunk, minimum=1)
