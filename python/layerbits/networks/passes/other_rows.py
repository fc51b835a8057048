"""Layers whose rows are not those of the inputs, as in an expert that gets some of the rows or tokens of a pass."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from layerbits._base import LayerSelectionError, listed, stacklevel_of_user
from layerbits.networks.execution.generators import generators_restored
from layerbits.networks.execution.live_memory import LiveMemory, bytes_of_a_row
from layerbits.networks.observation.layer_calls import LayerCall
from layerbits.networks.passes.batch_effects import batches_among_other_rows
from layerbits.networks.passes.end_of_pass import EndOfPass
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.probing import FEWER_ROWS, PROBING_SEED, REPLACED_ROWS, ROWS, Probe
from layerbits.networks.passes.reordered_rows import layers_with_reordered_rows

# Numbers of inputs of the passes that show which modules have a row for each input.
_FEW_INPUTS, _MORE_INPUTS = 2, 7

# Factors of the noise in the passes that show routes which change with noise.
_NOISE_FACTORS = (1.0, 10.0)

OTHER_ROWS = (
    "whose rows in a pass are not those of the inputs in their order, as in experts that get some of the tokens or "
    "sort them, or tokens that are flattened before the inputs, as (L n, d)"
)


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
    calls = [call for call in network.calls if call.name in left_out]
    names, around = listed(call.name for call in calls), layers_around(network, inputs, calls)
    remedy = "name layers behind them, or flatten tokens as (n L, d)"
    if around:
        remedy = f"pass layers={around}, which are around them"
    network.calls = [call for call in network.calls if call.name not in left_out]
    if not network.calls:
        raise LayerSelectionError(
            f"layers: got None, which selects hidden activation functions, but the network has only {names}, "
            f"{OTHER_ROWS}; {remedy}"
        )
    warnings.warn(f"layers: None leaves out {names}, {OTHER_ROWS}; {remedy}", stacklevel=stacklevel_of_user())


def layers_around(network: MeasuredNetwork, inputs: Sequence[Tensor], calls: Sequence[LayerCall]) -> list[str]:
    """Return the innermost modules around some calls whose outputs have a row for each input."""
    numbers = (min(n_inputs, len(inputs[0])) for n_inputs in (_FEW_INPUTS, _MORE_INPUTS))
    shapes = [(n_inputs, network.observed_shapes(n_inputs)) for n_inputs in numbers]
    names = []
    for call in calls:
        parts = call.module_name.split(".")
        around = (".".join(parts[:end]) for end in range(len(parts) if call.function else len(parts) - 1, 0, -1))
        names += [
            name for name in around if all(of_pass.get(name, ())[:1] == (n_inputs,) for n_inputs, of_pass in shapes)
        ][:1]
    return list(dict.fromkeys(names))


def layers_with_other_rows(network: MeasuredNetwork, inputs: Sequence[Tensor]) -> set[str]:
    """Return the layers that do not run in all probing passes, have no axis for the rows, or have the rows reordered.

    The passes also give the network its `row_bytes`, by which the number of other rows is chosen.
    """
    network.row_axes.clear()  # those of an earlier check would move the axes of the signals
    probe = Probe(network, inputs, network.layer_names)
    n_passes = 0
    shapes: dict[str, list[tuple[int, tuple[int, ...]]]] = {layer: [] for layer in network.layer_names}

    def run(batch: Sequence[Tensor], memory: LiveMemory | None = None) -> None:
        nonlocal n_passes
        n_passes += 1
        probe.run(batch, memory, kept_rows=())
        for layer, shape in probe.shapes.items():
            shapes[layer].append((len(batch[0]), shape))

    memory, fewer_memory = LiveMemory(), LiveMemory()
    with network.taking_unobserved_calls():
        run(probe.rows(ROWS), memory)
        run(probe.rows(FEWER_ROWS), fewer_memory)
        network.row_bytes = bytes_of_a_row(memory, len(ROWS), fewer_memory, len(FEWER_ROWS))
        for batch in (*map(probe.rows, REPLACED_ROWS.values()), *batches_among_other_rows(probe)):
            run(batch)
    others = {
        layer
        for layer, shapes_of_layer in shapes.items()
        if len(shapes_of_layer) < n_passes or not _have_row_axis(shapes_of_layer)
    }
    return others | layers_with_reordered_rows(network, inputs, network.layer_names)


def layers_moved_by_noise(network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Sequence[str]) -> set[str]:
    """Return the noisy layers, up to the last of `layers`, whose shapes change with the noise of earlier layers.

    Noise may route a row to another expert. Rare routes need large noise to appear in few rows, so passes with larger
    noise run too, except on accelerators, where an index out of range would end the context. A network whose shapes
    depend on no values needs no pass.
    """
    last = max(map(network.layer_names.index, layers))
    is_on_cpu = all(tensor.device.type == "cpu" for tensor in inputs)
    moved: set[str] = set()
    if last and not network.dependence.has_fixed_shapes:  # no noise acts on the first layer
        for batch in batches_among_other_rows(Probe(network, inputs, layers)):
            shapes = _shapes_with_noise(network, batch, 0.0, last)
            for factor in _NOISE_FACTORS if is_on_cpu else _NOISE_FACTORS[:1]:
                noisy_shapes = _shapes_with_noise(network, batch, factor, last)
                moved |= {layer for layer, shape in noisy_shapes.items() if shape != shapes.get(layer, shape)}
    return moved


def _shapes_with_noise(
    network: MeasuredNetwork, batch: Sequence[Tensor], factor: float, last: int
) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of the signal of each layer up to number `last`, in a pass with `factor` times its noise.

    A layer that does not run has None; layers are missing if the network raises an exception before them.
    """
    shapes: dict[str, tuple[int, ...] | None] = {}
    layers = network.layer_names[: last + 1]
    # Another thread may use torch's own generator meanwhile.
    generator = torch.Generator(batch[0].device).manual_seed(PROBING_SEED)

    def add_noise(index: int, signal: Tensor) -> Tensor:
        layer, noise = network.layer_names[index], network.noise[network.layer_names[index]]
        shapes[layer] = tuple(signal.shape)
        if len(shapes) == len(layers):
            raise EndOfPass
        dtype = torch.promote_types(signal.dtype, torch.float32)
        normals = [
            torch.randn(signal.shape, dtype=dtype, device=generator.device, generator=generator).to(signal.device)
            for _ in range(noise.n_normals)
        ]
        return signal + factor * (noise.add(signal, *normals) - signal)

    routed = network.adding_routed_noise(factor > 0)
    with network.taking_unobserved_calls(), routed, generators_restored(network.module, PROBING_SEED):
        try:
            network.run(add_noise, [tensor.clone() for tensor in batch])
        except Exception:  # with noise the network may raise any error; a measurement then raises that of its noise
            return dict(shapes)
    return {layer: shapes.get(layer) for layer in layers}


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
