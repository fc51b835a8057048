"""`check_shared_randomness`: rows must not share random numbers of the network, in whatever number it draws them.

In a probing pass, the random numbers that belong to one row are replaced by others. The signals of the other rows must
stay as they are. Then each row depends on random numbers of its own, so rows are independent samples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from layerbits.networks.observation.operations import Operation
from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.probing import Probe
from layerbits.networks.passes.random_draws import (
    Draw,
    DrawLayout,
    DrawMode,
    DrawRecorder,
    RecordedDraws,
    other_calls,
)

# Number of further calls of an operator.
_CALLS = 8


def check_shared_randomness(
    probe: Probe, rows: Sequence[int], fewer_rows: Sequence[int], row_axes: Mapping[str, int]
) -> RecordedDraws:
    """Raise a ValueError if the signals of a row depend on random numbers that belong to other rows.

    The axis of the rows in a draw is that whose length is proportional to the rows of a pass. An axis of several
    entries a row has those of each row together, or in equal parts, between which stand those of the other rows.

    Parameters
    ----------
    probe : Probe
        The probing passes of a network that draws equally many numbers for each row.
    rows, fewer_rows : sequence of int
        Rows of two passes, as in `Probe.rows`.
    row_axes : mapping of str to int
        The axis of the rows in the signal of each layer.

    Returns
    -------
    RecordedDraws
        The draws of a pass of `rows`.
    """
    recorder, fewer_recorder = DrawRecorder(), DrawRecorder()
    with recorder:
        signals = probe.run(probe.rows(rows))
    with fewer_recorder:
        probe.run(probe.rows(fewer_rows))
    layout = DrawLayout.of(recorder.draws, len(rows), fewer_recorder.draws, len(fewer_rows))
    layer, batch, draws = "", probe.rows(rows), RecordedDraws(layout, recorder.draws, len(rows))
    for adjacent in _layouts(probe, batch, signals, draws, row_axes):
        draws = dataclasses.replace(draws, layout=dataclasses.replace(layout, adjacent=adjacent))
        layer = _layer_with_shared_draws(probe, batch, signals, draws, row_axes)
        if not layer or probe.weights.have_changed():
            return draws
    raise ValueError(
        f"inputs: got a network whose rows share random numbers: in {layer!r} the signal of a row changes with random "
        "numbers that belong to other rows of the pass, wanted random numbers of its own for each row, because rows "
        "that share them are no independent samples; draw them for each row, or switch them off"
    )


def _layouts(
    probe: Probe,
    batch: Sequence[Tensor],
    signals: Mapping[str, Tensor],
    draws: RecordedDraws,
    row_axes: Mapping[str, int],
) -> Iterator[dict[int, int]]:
    """Yield by draw how many entries of a row may stand together: all, one in every draw, or what passes show."""
    axes = draws.layout.axes
    entries = {
        index: draw.shape[axis] // draws.n_rows
        for index, (axis, draw) in enumerate(zip(axes, draws.draws, strict=False))
        if axis is not None and draw.shape[axis] > draws.n_rows
    }
    yield {}
    if not entries:
        return
    yield dict.fromkeys(entries, 1)
    found, blocks = {}, 1
    for index, per_row in entries.items():
        alone = tuple(axis if index == other else None for other, axis in enumerate(axes))
        for adjacent in _divisors(per_row, first=per_row // blocks):
            replaced = dataclasses.replace(draws, layout=DrawLayout(alone, {index: adjacent}))
            if not _layer_with_shared_draws(probe, batch, signals, replaced, row_axes):
                found[index], blocks = adjacent, per_row // adjacent
                break
    yield found


def _divisors(number: int, first: int) -> list[int]:
    """Return the divisors of a number, the largest first, but before them `first`, if it is one.

    A number below 10^6 has at most 240. The flat draws of a network mostly have as many tokens as one another, so the
    number of blocks of a row in one draw is tried first in the next.
    """
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    divisors = sorted({*small, *(number // divisor for divisor in small)}, reverse=True)
    return sorted(divisors, key=lambda divisor: divisor != first)


def _layer_with_shared_draws(
    probe: Probe,
    batch: Sequence[Tensor],
    signals: Mapping[str, Tensor],
    draws: RecordedDraws,
    row_axes: Mapping[str, int],
) -> str:
    """Return a layer in which a row changes with the random numbers of another; empty if there is none."""
    for position in range(draws.n_rows):
        replaced = _ReplacedDraws(draws.layout, position, draws.n_rows)
        with replaced:
            others = probe.run(batch)
        if replaced.n_draws != len(draws.draws) and not probe.weights.have_changed():
            raise other_calls(f"{len(draws.draws)} and {replaced.n_draws} calls for the same rows")
        kept = [row for row in range(draws.n_rows) if row != position]
        for layer, axis in row_axes.items():
            if layer in signals and layer in others and signals[layer].shape == others[layer].shape:
                pair = (values.movedim(axis, 0)[kept] for values in (signals[layer], others[layer]))
                if not are_close(*pair):
                    return layer
    return ""


class _ReplacedDraws(DrawMode):  # type: ignore[no-untyped-call]
    """Replaces the draws of one row of a pass by those of further calls.

    Of several calls, the value farthest from the first counts: the network may round random numbers, or compare them
    with a threshold. The generators continue as after the first call, so all other random numbers stay as they are.
    """

    def __init__(self, layout: DrawLayout, row: int, n_rows: int) -> None:
        super().__init__()
        self._layout, self._row, self._n_rows = layout, row, n_rows

    def _drawn(self, index: int, draw: Draw, repeat: Callable[[], Any], operation: Operation) -> None:
        axis = self._layout.axes[index] if index < len(self._layout.axes) else None
        if axis is None:
            return
        entries = self._layout.entries(index, [self._row], self._n_rows, draw.shape[axis])
        values = [tensor.clone() for tensor in draw.results]
        generator = operation.generator or _generator(draw.results[0].device)
        state = generator.get_state()
        others = values
        for _ in range(_CALLS):
            new = [leaf for leaf in tree_leaves(repeat()) if isinstance(leaf, Tensor)]
            others = [_farther(*triple) for triple in zip(values, others, new, strict=True)]
        generator.set_state(state)
        for tensor, value, other in zip(draw.results, values, others, strict=True):
            tensor.copy_(value)  # an operator in place has overwritten the tensor
            if tensor.ndim > axis and tensor.shape[axis] == draw.shape[axis]:
                positions = torch.tensor(entries, device=tensor.device)
                tensor.index_copy_(axis, positions, other.index_select(axis, positions))


def _farther(value: Tensor, other: Tensor, new: Tensor) -> Tensor:
    """Return for each entry that of `other` or `new` which is farther from `value`."""
    dtype = torch.complex128 if value.is_complex() else torch.float64
    distances = ((tensor.to(dtype) - value.to(dtype)).abs() for tensor in (new, other))
    return torch.where(torch.gt(*distances), new, other)


def _generator(device: torch.device) -> torch.Generator:
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator
