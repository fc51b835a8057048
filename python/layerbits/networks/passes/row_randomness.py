"""`check_shared_randomness`: rows must not share random numbers of the network.

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
from layerbits.networks.passes.random_calls import (
    CallLayout,
    RandomCall,
    RandomCallMode,
    RandomCallRecord,
    RandomCallRecorder,
    other_calls,
)

# Number of further calls of an operator, of whose values the farthest replace those of the first call.
_CALLS = 8


def check_shared_randomness(
    probe: Probe, rows: Sequence[int], fewer_rows: Sequence[int], row_axes: Mapping[str, int]
) -> RandomCallRecord:
    """Raise a ValueError if the signals of a row depend on random numbers that belong to other rows.

    The axis of the rows in a call is the axis whose length is proportional to the number of rows of a pass. If it has
    several entries for each row, the entries of a row stand together, or in equal blocks with blocks of the other rows
    between them.

    Parameters
    ----------
    probe : Probe
        The probing passes of a network that generates equally many random numbers for each row.
    rows, fewer_rows : sequence of int
        Rows of two passes, as in `Probe.rows`.
    row_axes : mapping of str to int
        The axis of the rows in the signal of each layer.

    Returns
    -------
    RandomCallRecord
        The random calls of a pass of `rows`.
    """
    recorder, fewer_recorder = RandomCallRecorder(), RandomCallRecorder()
    with recorder:
        signals = probe.run(probe.rows(rows))
    with fewer_recorder:
        probe.run(probe.rows(fewer_rows))
    layout = CallLayout.of(recorder.calls, len(rows), fewer_recorder.calls, len(fewer_rows))
    layer, batch, record = "", probe.rows(rows), RandomCallRecord(layout, recorder.calls, len(rows))
    for adjacent in _layouts(probe, batch, signals, record, row_axes):
        record = dataclasses.replace(record, layout=dataclasses.replace(layout, adjacent=adjacent))
        layer = _layer_with_shared_numbers(probe, batch, signals, record, row_axes)
        if not layer or probe.weights.have_changed():
            return record
    raise ValueError(
        f"inputs: got a network whose rows share random numbers: in {layer!r} the signal of a row changes with random "
        "numbers that belong to other rows of the pass, wanted random numbers of its own for each row, because rows "
        "that share them are no independent samples; draw them for each row, or switch them off"
    )


def _layouts(
    probe: Probe,
    batch: Sequence[Tensor],
    signals: Mapping[str, Tensor],
    record: RandomCallRecord,
    row_axes: Mapping[str, int],
) -> Iterator[dict[int, int]]:
    """Yield values of `CallLayout.adjacent` to try: all entries of a row, one in every call, or what passes show."""
    axes = record.layout.axes
    entries = {
        index: call.shape[axis] // record.n_rows
        for index, (axis, call) in enumerate(zip(axes, record.calls, strict=False))
        if axis is not None and call.shape[axis] > record.n_rows
    }
    yield {}
    if not entries:
        return
    yield dict.fromkeys(entries, 1)
    found, blocks = {}, 1
    for index, per_row in entries.items():
        alone = tuple(axis if index == other else None for other, axis in enumerate(axes))
        for adjacent in _divisors(per_row, first=per_row // blocks):
            replaced = dataclasses.replace(record, layout=CallLayout(alone, {index: adjacent}))
            if not _layer_with_shared_numbers(probe, batch, signals, replaced, row_axes):
                found[index], blocks = adjacent, per_row // adjacent
                break
    yield found


def _divisors(number: int, first: int) -> list[int]:
    """Return the divisors of a number from the largest to the smallest, but `first` before all if it is a divisor.

    A number below 10^6 has at most 240 divisors. The flat calls of a network mostly have equally many tokens, so the
    number of blocks of a row in one call is tried first in the next.
    """
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    divisors = sorted({*small, *(number // divisor for divisor in small)}, reverse=True)
    return sorted(divisors, key=lambda divisor: divisor != first)


def _layer_with_shared_numbers(
    probe: Probe,
    batch: Sequence[Tensor],
    signals: Mapping[str, Tensor],
    record: RandomCallRecord,
    row_axes: Mapping[str, int],
) -> str:
    """Return a layer in which a row changes with the random numbers of another; empty if there is none."""
    for position in range(record.n_rows):
        replaced = _ReplacedNumbers(record.layout, position, record.n_rows)
        with replaced:
            others = probe.run(batch)
        if replaced.n_calls != len(record.calls) and not probe.weights.have_changed():
            raise other_calls(f"{len(record.calls)} and {replaced.n_calls} calls for the same rows")
        kept = [row for row in range(record.n_rows) if row != position]
        for layer, axis in row_axes.items():
            if layer in signals and layer in others and signals[layer].shape == others[layer].shape:
                pair = (values.movedim(axis, 0)[kept] for values in (signals[layer], others[layer]))
                if not are_close(*pair):
                    return layer
    return ""


class _ReplacedNumbers(RandomCallMode):  # type: ignore[no-untyped-call]
    """Replaces the random numbers of one row of a pass by those of further calls.

    Of the values of several further calls, the value farthest from that of the first call replaces it, because the
    network may round random numbers, or compare them with a threshold. The generators continue as after the first call,
    so all other random numbers stay as they are.
    """

    def __init__(self, layout: CallLayout, row: int, n_rows: int) -> None:
        super().__init__()
        self._layout, self._row, self._n_rows = layout, row, n_rows

    def _after(self, index: int, call: RandomCall, repeat: Callable[[], Any], operation: Operation) -> None:
        axis = self._layout.axes[index] if index < len(self._layout.axes) else None
        if axis is None:
            return
        entries = self._layout.entries(index, [self._row], self._n_rows, call.shape[axis])
        values = [tensor.clone() for tensor in call.results]
        generator = operation.generator or _generator(call.results[0].device)
        state = generator.get_state()
        others = values
        for _ in range(_CALLS):
            new = [leaf for leaf in tree_leaves(repeat()) if isinstance(leaf, Tensor)]
            others = [_farther(*triple) for triple in zip(values, others, new, strict=True)]
        generator.set_state(state)
        for tensor, value, other in zip(call.results, values, others, strict=True):
            tensor.copy_(value)  # an operator in place has overwritten the tensor
            if tensor.ndim > axis and tensor.shape[axis] == call.shape[axis]:
                positions = torch.tensor(entries, device=tensor.device)
                tensor.index_copy_(axis, positions, other.index_select(axis, positions))


def _farther(value: Tensor, other: Tensor, new: Tensor) -> Tensor:
    """Return, for each entry, the entry of `other` or `new` that is farther from that of `value`."""
    dtype = torch.complex128 if value.is_complex() else torch.float64
    distances = ((tensor.to(dtype) - value.to(dtype)).abs() for tensor in (new, other))
    return torch.where(torch.gt(*distances), new, other)


def _generator(device: torch.device) -> torch.Generator:
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator
