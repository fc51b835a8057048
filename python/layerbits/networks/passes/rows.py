"""Probing passes of a few rows: the axis of the rows in a signal, whether rows act on one another, the bytes of a row.

The probing passes also show whether the network itself uses random numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits._base import LayerSelectionError
from layerbits.mixtures import NEGLIGIBLE
from layerbits.networks.execution.generators import generators_restored
from layerbits.networks.execution.live_memory import LiveMemory, bytes_of_a_row
from layerbits.networks.noise.dropout import DropoutNoise
from layerbits.networks.passes.measured_network import EndOfPass, MeasuredNetwork

# The rows of the probing passes. 0 is the first input, 1 another input (`_other_input`).
_ROWS, _FEWER_ROWS = (0, 1, 0), (0, 1)

# `_ROWS` with one row replaced, by the position of that row.
_REPLACED_ROWS = {0: (1, 1, 0), 1: (0, 0, 0), 2: (0, 1, 1)}

# Number of inputs that are compared with the first.
_COMPARED_INPUTS = 1000

# Copies of the signal of a noisy layer while noise is added: the signal in float32, the noise, and their sum.
_COPIES_FOR_NOISE = 3

# Seed of the network's own random numbers in all probing passes, so that passes of equal rows are equal.
_PROBING_SEED = 0


def check_rows(network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Sequence[str]) -> None:
    """Find the axis of the rows in the signals of layers, and of the noisy layers before them.

    Along this axis a signal has two entries in a pass of two rows, and three in a pass of three. Replacing a row, or
    leaving one out, must not change the signals of the other rows by more than rounding, unless two equal passes differ
    too. Random numbers of the network must be drawn for each row: a pass is one sample of those that all its rows
    share. The results are the attributes `row_axes`, `units`, `row_bytes` and `uses_random_numbers` of the network.

    Raises
    ------
    LayerSelectionError
        No axis belongs to the rows, or several axes other than the first may; the shape of a signal depends on the
        values of the rows; a signal has no units.
    ValueError
        The signal of a row depends on the other rows of the pass, or on random numbers that all rows share.
    """
    memory, fewer_memory = LiveMemory(), LiveMemory()
    draws, draws_of_fewer = list[int](), list[int]()
    signals = _signals(network, inputs, _ROWS, layers, memory, draws)
    signals_of_fewer = _signals(network, inputs, _FEWER_ROWS, layers, fewer_memory, draws_of_fewer)
    if [size * len(_FEWER_ROWS) for size in draws] != [size * len(_ROWS) for size in draws_of_fewer]:
        raise ValueError(
            f"inputs: got a network that draws {sum(draws)} random numbers for {len(_ROWS)} rows and "
            f"{sum(draws_of_fewer)} for {len(_FEWER_ROWS)}, wanted equally many for each row: rows that share random "
            "numbers are no independent samples; draw them for each row, or switch them off"
        )
    replaced = {position: _signals(network, inputs, rows, layers) for position, rows in _REPLACED_ROWS.items()}
    last_index = max(network.layer_names.index(layer) for layer in layers)
    for layer in network.layer_names[: last_index + 1] if network.adds_noise else layers:
        if all(layer in of_pass for of_pass in (signals, signals_of_fewer, *replaced.values())):
            signal, shape = signals[layer], tuple(signals[layer].shape)
            axis = _row_axis(layer, shape, tuple(signals_of_fewer[layer].shape), network.remedy_for_rows)
            network.row_axes[layer] = axis
            network.units[layer] = signal.numel() // len(_ROWS)
            if not network.units[layer]:
                raise LayerSelectionError(
                    f"layers: got {layer!r}, whose signal of shape {shape} has no units, wanted at least one; "
                    f"{network.remedy_for_rows}"
                )
            for position, of_pass in replaced.items():
                if of_pass[layer].shape != shape:
                    raise LayerSelectionError(
                        f"layers: got {layer!r}, which returns shape {shape} or {tuple(of_pass[layer].shape)} for "
                        f"{len(_ROWS)} rows, depending on their values, wanted one row for each row of the pass; "
                        f"{network.remedy_for_rows}"
                    )
                other_rows = [row for row in range(len(_ROWS)) if row != position]
                pair = (values.movedim(axis, 0)[other_rows] for values in (signal, of_pass[layer]))
                if _differ(network, layer, *pair):
                    _refuse_interaction(network, inputs, layers, layer, signal)
            same_rows = signal.movedim(axis, 0)[: len(_FEWER_ROWS)], signals_of_fewer[layer].movedim(axis, 0)
            if not network.uses_random_numbers and _depend_on_number(*same_rows):
                _refuse_interaction(network, inputs, layers, layer, signal)
    network.row_bytes = bytes_of_a_row(memory, len(_ROWS), fewer_memory, len(_FEWER_ROWS))
    network.row_bytes += sum(math.prod(tensor.shape[1:]) * tensor.itemsize for tensor in inputs)
    if network.adds_noise:
        copy_bytes = (signal.numel() * max(4, signal.itemsize) // len(_ROWS) for signal in signals.values())
        network.row_bytes += _COPIES_FOR_NOISE * max(copy_bytes, default=0)


def _signals(
    network: MeasuredNetwork,
    inputs: Sequence[Tensor],
    rows: Sequence[int],
    layers: Sequence[str],
    memory: LiveMemory | None = None,
    draws: list[int] | None = None,
) -> dict[str, Tensor]:
    """Return the signals by layer in a pass of `rows` without noise, which ends when all of `layers` have run.

    If `memory` is given, it records the memory of the pass. To `draws`, the sizes of the network's draws are added.
    """
    signals: dict[str, Tensor] = {}

    def keep(index: int, signal: Tensor) -> Tensor:
        with contextlib.nullcontext() if memory is None else memory.paused():
            signals[network.layer_names[index]] = signal.clone()
        if signals.keys() >= set(layers):
            raise EndOfPass
        return signal

    other = _other_input(inputs)
    batch = [tensor[[other * row for row in rows]] for tensor in inputs]
    with generators_restored(network.module, _PROBING_SEED) as generators, memory or contextlib.nullcontext():
        network.run(keep, batch)
    network.uses_random_numbers = network.uses_random_numbers or generators.changed
    if draws is not None and (generators.changed or generators.passes_generator):
        draws += generators.sizes
    return signals


def _other_input(inputs: Sequence[Tensor]) -> int:
    """Return the position of the first input that differs from input 0; if none does, of the last compared input."""
    differs = [
        (tensor[:_COMPARED_INPUTS] != tensor[:1]).reshape(min(len(tensor), _COMPARED_INPUTS), -1).any(1)
        for tensor in inputs
    ]
    position = int(torch.stack([values.to(differs[0].device) for values in differs]).any(0).int().argmax())
    return position or min(len(inputs[0]), _COMPARED_INPUTS) - 1


def _row_axis(layer: str, shape: tuple[int, ...], fewer: tuple[int, ...], remedy: str) -> int:
    n_rows, n_fewer = len(_ROWS), len(_FEWER_ROWS)
    if len(shape) == len(fewer):
        axes = [axis for axis, sizes in enumerate(zip(shape, fewer, strict=True)) if sizes == (n_rows, n_fewer)]
        n_equal = sum(size == other for size, other in zip(shape, fewer, strict=True))
        if n_equal + len(axes) == len(shape) and axes and (axes[0] == 0 or len(axes) == 1):
            return axes[0]
    raise LayerSelectionError(
        f"layers: got {layer!r}, which returns shape {shape} for {n_rows} rows and {fewer} for {n_fewer}, wanted one "
        f"axis for the rows of the pass; {remedy}"
    )


def _differ(network: MeasuredNetwork, layer: str, signals: Tensor, others: Tensor) -> bool:
    """Return whether the signals of the same rows differ by more than rounding.

    A change r of the whitened signal carries at most |r|^2 / (2 sigma^2) nats, the divergence between the two noisy
    values; a negligible divergence counts as rounding. In a layer without noise, every change counts.
    """
    left, right = (values.reshape(len(values), -1).double() for values in (signals, others))
    if torch.equal(left, right) or layer not in network.noise:
        return not torch.equal(left, right)
    noise = network.noise[layer]
    if isinstance(noise, DropoutNoise):
        return bool(noise.divergence(left, right).max() > NEGLIGIBLE)
    change = noise.whiten(left) - noise.whiten(right)
    return bool(change.square().sum(1).max() / (2 * noise.whitened_sigma**2) > NEGLIGIBLE)


def _depend_on_number(signals: Tensor, others: Tensor) -> bool:
    """Return whether the signals of the same rows in passes of other numbers of rows differ by more than rounding.

    Matrix products of other sizes round otherwise, and later layers may amplify that, so half of the digits count.
    """
    left, right = signals.detach().double(), others.detach().double()
    tolerance = math.sqrt(torch.finfo(signals.dtype).eps) * float(left.abs().max()) if left.numel() else 0.0
    return bool(((left - right).abs() > tolerance).any())


def _refuse_interaction(
    network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Sequence[str], layer: str, signal: Tensor
) -> None:
    """Raise a ValueError that rows act on one another in a layer, unless its signal differs in two equal passes."""
    if not torch.equal(_signals(network, inputs, _ROWS, layers)[layer], signal):
        return
    raise ValueError(
        f"inputs: got rows that act on one another: in {layer!r} the signal of a row changes with the other rows of "
        "the pass, wanted a network that treats each row alone; give batch normalization running statistics "
        "(track_running_stats=True), and recurrent and attention layers batch_first=True; for the nodes of one graph, "
        "record the signals of a pass and measure them with layerbits.information"
    )
