"""Layers that get the rows of a pass in an order of their own, as experts do that sort the rows before they run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.passes.batch_effects import batches_among_other_rows
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.probing import Probe

# Largest number of rows of the passes, an even number: each keeps the signals of all its rows.
_ROWS = 8


def layers_with_reordered_rows(network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Sequence[str]) -> set[str]:
    """Return those of `layers` whose signals have all rows of a pass, but in another order.

    The signals of a batch and of the reversed batch then have the same rows, and are not each other's reverse. Rows
    that act on one another may have this property too, as in a column that is sorted. So the signals must also have
    the rows of two further passes, each of a half of the batch in two copies, and places must depend on the values of
    rows.
    """
    network.row_axes.clear()  # those of an earlier check would move the axes of the signals
    probe = Probe(network, inputs, layers)
    rows = next(batches_among_other_rows(probe))
    n_rows = min(_ROWS, len(rows[0]) // 2 * 2)
    batch = [tensor[:n_rows] for tensor in rows]
    with network.taking_unobserved_calls():
        signals = probe.run([tensor.clone() for tensor in batch])
        of_reversed = probe.run([tensor.flip(0) for tensor in batch])
        reordered = {
            layer
            for layer, signal in signals.items()
            if layer in of_reversed
            and signal.shape[:1] == (n_rows,)
            and signal.shape == of_reversed[layer].shape
            and not are_close(signal.flip(0), of_reversed[layer])
            and _have_same_rows(signal, of_reversed[layer])
        }
        if not reordered:
            return reordered
        halves = zip(*(tensor.chunk(2) for tensor in batch), strict=True)
        of_halves = [probe.run([torch.cat([half, half]) for half in tensors]) for tensors in halves]
        moved_by_place = _layers_moved_by_place(probe, n_rows, reordered)
    return {
        layer
        for layer in reordered - moved_by_place
        if all(layer in of_half and of_half[layer].shape == signals[layer].shape for of_half in of_halves)
        and _have_same_rows(signals[layer], torch.cat([of_half[layer] for of_half in of_halves]))
    }


def _layers_moved_by_place(probe: Probe, n_rows: int, layers: Collection[str]) -> set[str]:
    """Return the layers in which the place of a row depends on that in the batch alone, as in a batch that is rolled.

    Such a network gives the output of a row to another one. In each pass one row differs from the others; a layer that
    orders rows by their values gives it the same place each time, or the place in the batch.
    """
    of_equal_rows = probe.run(probe.rows([0] * n_rows))
    of_places = [probe.run(probe.rows([int(row == place) for row in range(n_rows)])) for place in range(n_rows)]
    moved = set()
    for layer in layers:
        if all(layer in of_pass and of_pass[layer].shape[:1] == (n_rows,) for of_pass in (of_equal_rows, *of_places)):
            equal_rows = of_equal_rows[layer].reshape(n_rows, -1)
            changes = [(signals[layer].reshape(n_rows, -1) - equal_rows).abs().amax(1) for signals in of_places]
            places = [int(change.argmax()) for change in changes]
            if len(set(places)) == n_rows and places != list(range(n_rows)):
                moved.add(layer)
    return moved


def _have_same_rows(signals: Tensor, others: Tensor) -> bool:
    """Return whether each row of either tensor is close to a row of the other."""
    return all(
        any(are_close(row, other) for other in second)
        for first, second in ((signals, others), (others, signals))
        for row in first
    )
