"""Layers whose rows are not those of the inputs, as in an expert that gets some of the rows or tokens of a pass."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Sequence

from torch import Tensor

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.live_memory import LiveMemory, bytes_of_a_row
from layerbits.networks.passes.batch_effects import batches_among_other_rows
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.probing import Probe

# Rows of the passes, as in `Probe.rows`; the memory of the first two shows that of a row.
_ROWS, _FEWER_ROWS = (0, 1, 0), (0, 1)
_FURTHER_ROWS = ((1, 1, 0), (0, 0, 0), (0, 1, 1))


def leave_out_other_rows(network: MeasuredNetwork, inputs: Sequence[Tensor], named: Collection[str]) -> None:
    """Leave out layers whose rows are not those of the inputs from a network without noise, unless they are `named`.

    Raises
    ------
    LayerSelectionError
        No layer is left.

    Warns
    -----
    UserWarning
        Names the layers that are left out.
    """
    left_out = layers_with_other_rows(network, inputs) - set(named)
    if not left_out:
        return
    names = ", ".join(call.name for call in network.calls if call.name in left_out)
    reason = "whose rows in a pass are not those of the inputs, as in an expert that gets some of them"
    network.calls = [call for call in network.calls if call.name not in left_out]
    if not network.calls:
        raise LayerSelectionError(
            f"layers: got None, which selects hidden activation functions, but the network has only {names}, {reason}; "
            "name other layers, such as the block that adds up the experts"
        )
    warnings.warn(
        f"layers: None leaves out {names}, {reason}; measure a layer behind them, such as the block that adds them up",
        stacklevel=2,
    )


def layers_with_other_rows(network: MeasuredNetwork, inputs: Sequence[Tensor]) -> set[str]:
    """Return the layers that do not run in all probing passes, or whose shapes in them have no axis for the rows.

    A pass ends at a noisy layer that was not observed, so the layers behind do not run in it. The passes also give the
    network its `row_bytes`, by which the number of other rows is chosen.
    """
    network.row_axes.clear()  # those of an earlier check would move the axes of the signals
    probe = Probe(network, inputs, network.layer_names)
    n_passes = 0
    shapes: dict[str, list[tuple[int, tuple[int, ...]]]] = {layer: [] for layer in network.layer_names}

    def run(batch: Sequence[Tensor], memory: LiveMemory | None = None) -> None:
        nonlocal n_passes
        n_passes += 1
        with contextlib.suppress(LayerSelectionError) if network.adds_noise else contextlib.nullcontext():
            probe.run(batch, memory, kept_rows=())
        for layer, shape in probe.shapes.items():
            shapes[layer].append((len(batch[0]), shape))

    memory, fewer_memory = LiveMemory(), LiveMemory()
    run(probe.rows(_ROWS), memory)
    run(probe.rows(_FEWER_ROWS), fewer_memory)
    network.row_bytes = bytes_of_a_row(memory, len(_ROWS), fewer_memory, len(_FEWER_ROWS))
    for batch in (*map(probe.rows, _FURTHER_ROWS), *batches_among_other_rows(probe)):
        run(batch)
    return {
        layer
        for layer, shapes_of_layer in shapes.items()
        if len(shapes_of_layer) < n_passes or not _have_row_axis(shapes_of_layer)
    }


def _have_row_axis(shapes: Sequence[tuple[int, tuple[int, ...]]]) -> bool:
    """Return whether an axis has the number of rows of each pass, and the others the same lengths in all passes."""
    _, first_shape = shapes[0]
    return any(
        all(
            len(shape) == len(first_shape)
            and shape[axis] == n_rows
            and _without(shape, axis) == _without(first_shape, axis)
            for n_rows, shape in shapes
        )
        for axis in range(len(first_shape))
    )


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]
