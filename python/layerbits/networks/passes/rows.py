"""`check_rows`: the axis of the rows in the signals of layers, the bytes of a row, and whether rows act on one another.

The probing passes also show whether the network itself uses random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from layerbits._base import LayerSelectionError
from layerbits.mixtures import NEGLIGIBLE
from layerbits.networks.execution.live_memory import LiveMemory, bytes_of_a_row
from layerbits.networks.noise.dropout import DropoutNoise
from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.batch_effects import check_batch_effects
from layerbits.networks.passes.interaction import InteractionError, refuse_interaction
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.other_rows import OTHER_ROWS, layers_around
from layerbits.networks.passes.probing import FEWER_ROWS, REPLACED_ROWS, ROWS, Probe
from layerbits.networks.passes.random_calls import RandomCallRecord
from layerbits.networks.passes.randomness import check_randomness, check_sizes
from layerbits.networks.passes.reordered_rows import layers_with_reordered_rows
from layerbits.networks.passes.row_randomness import check_shared_randomness

# Rows of `ROWS` that have the inputs of `FEWER_ROWS`, but not all in the same places.
_OTHER_PLACES = (2, 1)

# Copies of the signal of a noisy layer while noise is added: the signal in float32, the noise, and their sum.
_COPIES_FOR_NOISE = 3


def check_rows(network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Sequence[str]) -> None:
    """Find the axis of the rows in the signals of layers, and of the noisy layers before them.

    Along this axis a signal has two entries in a pass of two rows, and three in a pass of three. Replacing a row, or
    leaving one out, must not change the signals of the other rows by more than rounding. Random numbers of the network
    must come from torch, and must be generated for each row: a pass is one sample of the numbers that all its rows
    share. The results are the attributes `row_axes`, `units`, `row_bytes` and `uses_random_numbers` of the network.

    Raises
    ------
    LayerSelectionError
        No axis belongs to the rows, or several axes other than the first may; the rows have another order; the shape
        of a signal depends on the values of the rows; a signal has no units.
    ValueError
        The signal of a row depends on the other rows of the pass, on its place among them, or on random numbers that
        all rows share; or `check_randomness` refuses the random numbers.
    """
    try:
        _check_rows(network, inputs, layers)
    except InteractionError as error:
        last_index = max(map(network.layer_names.index, layers))
        run = network.layer_names[: last_index + 1] if network.adds_noise else layers
        reordered = layers_with_reordered_rows(network, inputs, run)
        calls = [call for call in network.calls if call.name in reordered]
        if not calls:
            raise
        around = [] if network.adds_noise else layers_around(network, inputs, calls)
        raise LayerSelectionError(
            f"layers: got {calls[0].name!r}, {OTHER_ROWS}, wanted layers with the rows of the inputs in their order; "
            + (f"pass layers={around}, which are around it" if around else network.remedy_for_rows(calls[0].name))
        ) from error


def _check_rows(network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Sequence[str]) -> None:
    network.row_axes.clear()  # those of an earlier call would move the axes of the signals
    memory, fewer_memory, probe = LiveMemory(), LiveMemory(), Probe(network, inputs, layers)
    signals, use = probe.run(probe.rows(ROWS), memory), probe.generators
    signals_of_fewer, use_of_fewer = probe.run(probe.rows(FEWER_ROWS), fewer_memory), probe.generators
    if network.uses_random_numbers:
        check_sizes(use.sizes, len(ROWS), use_of_fewer.sizes, len(FEWER_ROWS))
    repeated = check_randomness(probe, ROWS, signals, use)
    last_index = max(network.layer_names.index(layer) for layer in layers)
    checked_layers = network.layer_names[: last_index + 1] if network.adds_noise else layers
    if network.uses_random_numbers:
        probe.random_calls = network.random_calls = _check_random_calls(
            probe, checked_layers, signals, signals_of_fewer
        )
    replaced = {}
    for position, rows in REPLACED_ROWS.items():
        compared = [row for row in range(len(ROWS)) if row != position]
        replaced[position] = probe.run_replaying(probe.rows(rows), range(len(ROWS)), compared=compared)
        probe.check_replay()
    for layer in checked_layers:
        if all(layer in of_pass for of_pass in (signals, signals_of_fewer, repeated, *replaced.values())):
            signal, shape = signals[layer], tuple(signals[layer].shape)
            axis = _row_axis(layer, shape, tuple(signals_of_fewer[layer].shape), network.remedy_for_rows(layer))
            network.row_axes[layer] = axis
            network.units[layer] = signal.numel() // len(ROWS)
            if not network.units[layer]:
                raise LayerSelectionError(
                    f"layers: got {layer!r}, whose signal of shape {shape} for {len(ROWS)} rows has no units, wanted "
                    f"at least one; {network.remedy_for_rows(layer)}"
                )
            for position, of_pass in replaced.items():
                if of_pass[layer].shape != shape:
                    raise LayerSelectionError(
                        f"layers: got {layer!r}, which returns shape {shape} or {tuple(of_pass[layer].shape)} for "
                        f"{len(ROWS)} rows, depending on their values, wanted one row for each row of the pass; "
                        f"{network.remedy_for_rows(layer)}"
                    )
                other_rows = [row for row in range(len(ROWS)) if row != position]
                pair = (values.movedim(axis, 0)[other_rows] for values in (signal, of_pass[layer]))
                # Kernels that add in any order round otherwise in equal passes; `are_close` below then compares rows.
                if signal.equal(repeated[layer]) and differ_beyond_rounding(network, layer, *pair):
                    refuse_interaction(probe.weights, layer)
            same_rows = signal.movedim(axis, 0)[: len(FEWER_ROWS)], signals_of_fewer[layer].movedim(axis, 0)
            if not network.uses_random_numbers and not are_close(*same_rows):
                refuse_interaction(probe.weights, layer)
    if network.uses_random_numbers:
        _compare_other_places(probe, signals)
    network.row_bytes = bytes_of_a_row(memory, len(ROWS), fewer_memory, len(FEWER_ROWS))
    network.row_bytes += sum(math.prod(tensor.shape[1:]) * tensor.itemsize for tensor in inputs)
    if network.adds_noise:
        copy_bytes = (signal.numel() * max(4, signal.itemsize) // len(ROWS) for signal in signals.values())
        network.row_bytes += _COPIES_FOR_NOISE * max(copy_bytes, default=0)
    check_batch_effects(probe)


def _check_random_calls(
    probe: Probe, layers: Sequence[str], signals: Mapping[str, Tensor], signals_of_fewer: Mapping[str, Tensor]
) -> RandomCallRecord:
    """Return the random calls of a pass of `ROWS`, after a check that rows share no random numbers."""
    row_axes = {}
    for layer in layers:
        if layer in signals and layer in signals_of_fewer:
            shapes = tuple(signals[layer].shape), tuple(signals_of_fewer[layer].shape)
            row_axes[layer] = _row_axis(layer, *shapes, probe.network.remedy_for_rows(layer))
    return check_shared_randomness(probe, ROWS, FEWER_ROWS, row_axes)


def _compare_other_places(probe: Probe, signals: Mapping[str, Tensor]) -> None:
    """Compare rows that have the same inputs and random numbers in passes of other places and another number of rows.

    `signals` are those of a pass of `ROWS`.
    """
    others = probe.run_replaying(probe.rows(FEWER_ROWS), _OTHER_PLACES)
    probe.check_replay()
    for layer, axis in probe.network.row_axes.items():
        if layer in others and not are_close(signals[layer].movedim(axis, 0)[list(_OTHER_PLACES)], others[layer]):
            refuse_interaction(probe.weights, layer, "the number of rows of, or its place in,")


def _row_axis(layer: str, shape: tuple[int, ...], fewer: tuple[int, ...], remedy: str) -> int:
    n_rows, n_fewer = len(ROWS), len(FEWER_ROWS)
    if len(shape) == len(fewer):
        axes = [axis for axis, sizes in enumerate(zip(shape, fewer, strict=True)) if sizes == (n_rows, n_fewer)]
        n_equal = sum(size == other for size, other in zip(shape, fewer, strict=True))
        if n_equal + len(axes) == len(shape) and axes and (axes[0] == 0 or len(axes) == 1):
            return axes[0]
    raise LayerSelectionError(
        f"layers: got {layer!r}, which returns shape {shape} for {n_rows} rows and {fewer} for {n_fewer}, wanted one "
        f"axis for the rows of the pass; {remedy}"
    )


def differ_beyond_rounding(network: MeasuredNetwork, layer: str, signals: Tensor, others: Tensor) -> bool:
    """Return whether the signals of the same rows differ by more than rounding.

    A change r of the whitened signal carries at most |r|^2 / (2 sigma^2) nats, the divergence between the two noisy
    values; a negligible divergence counts as rounding. In a layer without noise, half of the digits count.
    """
    if torch.equal(signals, others):
        return False
    if layer not in network.noise:
        return not are_close(signals, others)
    noise = network.noise[layer]
    left, right = (values.reshape(len(values), -1).double() for values in (signals, others))
    if isinstance(noise, DropoutNoise):
        return bool(noise.divergence(left, right).max() > NEGLIGIBLE)
    change = noise.whiten(left) - noise.whiten(right)
    return bool(change.square().sum(1).max() / (2 * noise.whitened_sigma**2) > NEGLIGIBLE)
