"""`check_shared_randomness`: rows must not share random numbers of the network, in whatever number it draws them.

In a probing pass, the random numbers that belong to one row are replaced by others. The signals of the other rows must
stay as they are. Then each row depends on random numbers of its own, so rows are independent samples.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.probing import Probe

# Number of further calls of an operator.
_CALLS = 8

# Returns for each entry of an axis of a length the row to which it belongs, of that many rows.
Rows = Callable[[int, int], Tensor]


def check_shared_randomness(
    probe: Probe,
    rows: Sequence[int],
    fewer_rows: Sequence[int],
    row_axes: Mapping[str, int],
    replaced: Sequence[int],
) -> None:
    """Raise a ValueError if the signals of a row depend on random numbers that belong to other rows.

    The axis of the rows in a draw is that whose length is proportional to the rows of a pass. An axis of several
    entries a row may have the entries of each row together, or the rows side by side: one of both must hold.

    Parameters
    ----------
    probe : Probe
        The probing passes of a network that draws equally many numbers for each row.
    rows, fewer_rows : sequence of int
        Rows of two passes, as in `Probe.rows`.
    row_axes : mapping of str to int
        The axis of the rows in the signal of each layer.
    replaced : sequence of int
        Positions of the rows whose random numbers are replaced, one at a time.
    """
    draws, fewer_draws = _ReplacedDraws(), _ReplacedDraws()
    with draws:
        signals = probe.run(probe.rows(rows))
    with fewer_draws:
        probe.run(probe.rows(fewer_rows))
    axes = [
        _axis(shape, other, len(rows), len(fewer_rows))
        for shape, other in itertools.zip_longest(draws.shapes, fewer_draws.shapes, fillvalue=())
    ]
    layer = ""
    for rows_of_axis in (_rows_together, _rows_side_by_side):
        layer = _layer_with_shared_draws(probe, rows, signals, (axes, rows_of_axis, row_axes, replaced))
        if not layer or probe.weights.have_changed():
            return
    raise ValueError(
        f"inputs: got a network whose rows share random numbers: in {layer!r} the signal of a row changes with random "
        "numbers that belong to other rows of the pass, wanted random numbers of its own for each row, because rows "
        "that share them are no independent samples; draw them for each row, or switch them off"
    )


def _layer_with_shared_draws(
    probe: Probe,
    rows: Sequence[int],
    signals: Mapping[str, Tensor],
    layout: tuple[list[int | None], Rows, Mapping[str, int], Sequence[int]],
) -> str:
    """Return a layer in which a row changes with the random numbers of another; empty if there is none."""
    axes, rows_of_axis, row_axes, replaced = layout
    for position in replaced:
        with _ReplacedDraws(axes, functools.partial(_entries_of_row, rows_of_axis, len(rows), position)):
            others = probe.run(probe.rows(rows))
        kept = [row for row in range(len(rows)) if row != position]
        for layer, axis in row_axes.items():
            if layer in signals and layer in others and signals[layer].shape == others[layer].shape:
                pair = (values.movedim(axis, 0)[kept] for values in (signals[layer], others[layer]))
                if not are_close(*pair):
                    return layer
    return ""


def _axis(shape: Sequence[int], other: Sequence[int], n_rows: int, n_fewer: int) -> int | None:
    """Return the axis of the rows in a draw, from its shapes in passes of two numbers of rows; None if unknown."""
    if len(shape) != len(other):
        return None
    pairs = enumerate(zip(shape, other, strict=True))
    return next((axis for axis, (size, fewer) in pairs if size != fewer and size * n_fewer == fewer * n_rows), None)


def _entries_of_row(rows_of_axis: Rows, n_rows: int, row: int, length: int) -> Tensor:
    return rows_of_axis(length, n_rows) == row


def _rows_together(length: int, n_rows: int) -> Tensor:
    return torch.arange(length) // max(1, length // n_rows)


def _rows_side_by_side(length: int, n_rows: int) -> Tensor:
    return torch.arange(length) % n_rows


class _ReplacedDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Replaces entries of the results of operators that use a generator, by those of further calls.

    Of several calls, the value farthest from the first counts: the network may round random numbers, or compare them
    with a threshold. The generators continue as after the first call, so all other random numbers stay as they are.

    Parameters
    ----------
    axes : sequence of int or None
        The axis of each draw along which entries are replaced; None keeps the draw.
    mask : callable
        Returns for the length of an axis which entries are replaced.

    Attributes
    ----------
    shapes : list of tuple of int
        Shape of the first tensor of each result.
    """

    def __init__(self, axes: Sequence[int | None] = (), mask: Callable[[int], Tensor] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._axes, self._mask = axes, mask
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return output
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        index = len(self.shapes)
        self.shapes.append(tuple(tensors[0].shape) if tensors else ())
        axis = self._axes[index] if index < len(self._axes) else None
        if axis is None or self._mask is None:
            return output
        values = [tensor.clone() for tensor in tensors]
        generator = kwargs.get("generator") or _generator(tensors[0].device)
        state = generator.get_state()
        others = values
        for _ in range(_CALLS):
            new = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
            others = [_farther(*triple) for triple in zip(values, others, new, strict=True)]
        generator.set_state(state)
        for tensor, value, other in zip(tensors, values, others, strict=True):
            if tensor.ndim > axis and tensor.shape[axis] == self.shapes[index][axis]:
                shape = [-1 if position == axis else 1 for position in range(tensor.ndim)]
                mask = self._mask(tensor.shape[axis]).reshape(shape).to(tensor.device)
                tensor.copy_(torch.where(mask, other, value))  # an operator in place has overwritten the tensor
            else:
                tensor.copy_(value)
        return output


def _farther(value: Tensor, other: Tensor, new: Tensor) -> Tensor:
    """Return for each entry that of `other` or `new` which is farther from `value`."""
    dtype = torch.complex128 if value.is_complex() else torch.float64
    distances = ((tensor.to(dtype) - value.to(dtype)).abs() for tensor in (new, other))
    return torch.where(torch.gt(*distances), new, other)


def _generator(device: torch.device) -> torch.Generator:
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator
