"""Implement torch.func.vmap for functions of points and centers, in one call where possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def map_batch(
    function: type[torch.autograd.Function],
    size: int,
    batch_dims: Sequence[int | None],
    arguments: Sequence[Any],
    *,
    point_arguments: Sequence[int],
    foldable: bool,
) -> tuple[Any, Any]:
    """Apply a function to every element of a batch; return the results and the batch dimension of each, always 0.

    Parameters
    ----------
    function : subclass of torch.autograd.Function
        Returns a tensor or a tuple of tensors.
    size : int
        Number of elements.
    batch_dims : sequence of int or None
        The batch dimension of each argument; None for an argument that all elements share.
    arguments : sequence
        The arguments of `function`.
    point_arguments : sequence of int
        Positions of the arguments with a row for each point; position 0 has the points.
    foldable : bool
        Whether one call may compute the points of all elements, because each row of the results depends on one point
        alone. If other arguments than `point_arguments` have a batch dimension, `function` is called for each element.
    """
    batched = {index for index, dim in enumerate(batch_dims) if dim is not None}
    values = [
        argument if dim is None else argument.movedim(dim, 0)
        for argument, dim in zip(arguments, batch_dims, strict=True)
    ]
    if foldable and batched <= set(point_arguments):
        m = values[0].shape[1 if 0 in batched else 0]
        for index in point_arguments:
            if values[index] is not None:
                rows = values[index] if index in batched else values[index].expand(size, *values[index].shape)
                values[index] = rows.flatten(0, 1)
        results = function.apply(*values)  # type: ignore[no-untyped-call]
        return _with_batch_dims(lambda result: result.unflatten(0, (size, m)), results)
    elements = [
        function.apply(*(value[k] if index in batched else value for index, value in enumerate(values)))  # type: ignore[no-untyped-call]
        for k in range(size)
    ]
    return _with_batch_dims(lambda *parts: torch.stack(parts), *elements)


def _with_batch_dims(function: Callable[..., Tensor], *results: Any) -> tuple[Any, Any]:
    """Apply a function to tensors, or elementwise to tuples of tensors; return the results and batch dimensions 0."""
    if isinstance(results[0], Tensor):
        return function(*results), 0
    outputs = tuple(map(function, *results))
    return outputs, (0,) * len(outputs)
