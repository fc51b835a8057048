"""Find the arguments whose dtype a network does not take: whole numbers of a data frame, floating-point tensors.

Only a pass shows the dtype: an embedding takes whole numbers alone, a linear layer numbers of its own dtype alone. So
the first rows are passed as they are. If the network raises an error of a dtype, arguments are converted until it runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layerbits.networks.inputs.trial_passes import trial_error

# Number of rows of the passes: their dtypes count, not their values.
_ROWS = 2

# Largest number of tensors of which every combination is tried, in at most 16 passes.
_MAX_COMBINED = 4

# Parts of the messages with which torch refuses a dtype.
_DTYPE_ERRORS = ("dtype", "not implemented for '", "scalar type", "should be the same", "expected m1 and m2")

# Returns the positional and keyword arguments of a pass of tensors.
Arguments = Callable[[Sequence[Tensor]], tuple[tuple[Any, ...], dict[str, Any]]]


def positions_to_convert(
    model: nn.Module, arguments: Arguments, tensors: Sequence[Tensor], candidates: Sequence[int], dtype: torch.dtype
) -> tuple[int, ...]:
    """Return the positions of the tensors to convert to `dtype`, the fewest with which the network runs.

    If more than four tensors may be converted, none or all are.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    arguments : callable
        Returns the arguments of a pass of tensors.
    tensors : sequence of Tensor of shape (n, ...)
        The tensors among the arguments.
    candidates : sequence of int
        Positions of the tensors that may be converted.
    dtype : torch.dtype
        The floating-point dtype of the network.

    Returns
    -------
    tuple of int
        Empty if the network runs without conversion, or raises another error than that of a dtype. If the network never
        runs, the first positions after whose conversion it raises another error, which is then the error to report;
        empty if there are none.
    """
    without_dtype_error: tuple[int, ...] = ()
    for positions in _combinations(candidates):
        rows = [
            tensor[:_ROWS].to(dtype) if position in positions else tensor[:_ROWS].clone()
            for position, tensor in enumerate(tensors)
        ]
        error = trial_error(model, *arguments(rows))
        if error is None:
            return positions
        if not _is_of_dtype(error):
            if not positions:
                return ()
            without_dtype_error = without_dtype_error or positions
    return without_dtype_error


def _combinations(candidates: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield combinations of positions, the smaller ones first; if there are many positions, none and all."""
    if len(candidates) > _MAX_COMBINED:
        yield from ((), tuple(candidates))
        return
    for size in range(len(candidates) + 1):
        yield from itertools.combinations(candidates, size)


def _is_of_dtype(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _DTYPE_ERRORS)
