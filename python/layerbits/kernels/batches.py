"""The rule of torch.func.vmap for operations whose arguments have a row for each point, or serve all points."""

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
    of_points: Sequence[int],
    foldable: bool,
) -> tuple[Any, Any]:
    """Apply a function to every element of a batch; return the results and the dimensions of their batch, all 0.

    Parameters
    ----------
    function : subclass of torch.autograd.Function
        Returns a tensor or a tuple of tensors.
    size : int
        Number of elements.
    batch_dims : sequence of int or None
        For each argument the dimension of the batch; None for an argument of all elements.
    arguments : sequence
    of_points : sequence of int
        Positions of the arguments with a row for each point; the first argument is the points.
    foldable : bool
        Whether each row of the results depends on one point alone. Then one call computes the points of all elements,
        if no other argument has a batch; otherwise each element has a call.
    """
    batched = {index for index, dim in enumerate(batch_dims) if dim is not None}
    values = [
        argument if dim is None else argument.movedim(dim, 0)
        for argument, dim in zip(arguments, batch_dims, strict=True)
    ]
    if foldable and batched <= set(of_points):
        m = values[0].shape[1 if 0 in batched else 0]
        for index in of_points:
            if values[index] is not None:
                rows = values[index] if index in batched else values[index].expand(size, *values[index].shape)
                values[index] = rows.flatten(0, 1)
        results = function.apply(*values)  # type: ignore[no-untyped-call]
        return _for_each(lambda result: result.unflatten(0, (size, m)), results)
    elements = [
        function.apply(*(value[k] if index in batched else value for index, value in enumerate(values)))  # type: ignore[no-untyped-call]
        for k in range(size)
    ]
    return _for_each(lambda *parts: torch.stack(parts), *elements)


def _for_each(operation: Callable[..., Tensor], *results: Any) -> tuple[Any, Any]:
    """Apply an operation to tensors, or to each of the tensors of tuples; return the results and dimensions 0."""
    if isinstance(results[0], Tensor):
        return operation(*results), 0
    outputs = tuple(map(operation, *results))
    return outputs, (0,) * len(outputs)
