"""Passes in which the noisy values of all layers are given: a signal may change only with its sources.

They find paths that no operation of torch shows, such as a write by another thread, if these act in the passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from layerbits.networks.execution.generators import generators_restored
from layerbits.networks.observation.signal_values import are_close
from layerbits.networks.observation.sources import INPUT, Source, Sources

if TYPE_CHECKING:
    from layerbits.networks.passes.measured_network import MeasuredNetwork

# Rows of a pass.
_ROWS = 2

# Seed of the network's own random numbers in each pass, and of the values that replace noisy values.
_SEED = 0


def interventions_differ(network: MeasuredNetwork, inputs: Sequence[Tensor], sources: Mapping[str, Sources]) -> bool:
    """Return whether the signal of a layer changes with the input, or with noisy values, that are none of its sources.

    A pass in which other layers run counts as such a change. If the parameters change meanwhile, no change is found.

    Parameters
    ----------
    network : MeasuredNetwork
        A noisy network.
    inputs : sequence of Tensor of shape (n, ...)
        The inputs.
    sources : mapping of str to frozenset of Source
        The sources of each layer, which the operations of a pass show, in the order of the pass.
    """
    layers = list(sources)
    without_input = [layer for layer in layers if INPUT not in sources[layer]]
    changes = {tuple(group): _later_without(group, sources) for group in _groups(layers)}
    if not without_input and not any(changes.values()):
        return False
    weights, rows = network.weights, [tensor[:_ROWS] for tensor in inputs]
    signals = _signals(network, rows, {})
    if signals.keys() != sources.keys():
        return not weights.have_changed()
    # Kernels that add in any order give other roundings in equal passes.
    are_equal = torch.equal if _agree(signals, _signals(network, rows, signals), layers, torch.equal) else are_close
    generator = torch.Generator().manual_seed(_SEED)
    other_values = {layer: _other_values(signal, generator) for layer, signal in signals.items()}
    # Reversed, because the last rows may be the first ones.
    other_rows = [tensor[-_ROWS:].flip(0) for tensor in inputs]
    if without_input and not _agree(signals, _signals(network, other_rows, signals), without_input, are_equal):
        return not weights.have_changed()
    for group, unchanged in changes.items():
        values = {**signals, **{layer: other_values[layer] for layer in group}}
        if unchanged and not _agree(signals, _signals(network, rows, values), unchanged, are_equal):
            return not weights.have_changed()
    return False


def _later_without(group: Sequence[str], sources: Mapping[str, Sources]) -> list[str]:
    """Return the layers without sources in a group; those before the whole group, which it cannot change, are left out.

    Both the group and `sources` are in the order of the pass.
    """
    layers = list(sources)
    changed = {Source("layer", layer) for layer in group}
    return [layer for layer in layers[layers.index(group[0]) + 1 :] if not changed & sources[layer]]


def _signals(network: MeasuredNetwork, rows: Sequence[Tensor], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the signals of a pass whose layers emit `values`; a layer without values emits its signal."""
    signals: dict[str, Tensor] = {}

    def emit(index: int, signal: Tensor) -> Tensor:
        layer = network.layer_names[index]
        signals[layer] = signal.clone()
        # A copy, because the network may write into its tensors.
        return values.get(layer, signal).clone()

    with generators_restored(network.module, _SEED):
        network.run(emit, [tensor.clone() for tensor in rows])
    return signals


def _agree(
    signals: Mapping[str, Tensor],
    other_signals: Mapping[str, Tensor],
    layers: Sequence[str],
    are_equal: Callable[[Tensor, Tensor], bool],
) -> bool:
    """Return whether layers have the same signals in two passes."""
    return all(
        layer in other_signals
        and signals[layer].shape == other_signals[layer].shape
        and are_equal(signals[layer].nan_to_num(), other_signals[layer].nan_to_num())
        for layer in layers
    )


def _other_values(signal: Tensor, generator: torch.Generator) -> Tensor:
    """Return values at a distance of about the size of a signal."""
    noise = torch.randn(signal.shape, generator=generator, dtype=torch.float32).to(signal)
    return signal + noise * (1 + signal.abs().mean())


def _groups(layers: Sequence[str]) -> Iterator[list[str]]:
    """Yield groups of layers: for each two layers a group has the first and not the second."""
    for bit in range((len(layers) - 1).bit_length() or 1):
        for value in (0, 1):
            group = [layer for index, layer in enumerate(layers) if index >> bit & 1 == value]
            if group:
                yield group
