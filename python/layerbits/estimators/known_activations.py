"""Activations S of a network without noise, refused where two passes differ, so that S + sigma Z is a known channel."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from layerbits.estimators.layer_groups import groups_within
from layerbits.kernels import ALONE, Processes
from layerbits.networks import (
    MAX_MEMORY,
    Layers,
    MeasuredNetwork,
    Passes,
    PassInputs,
    check_rows,
    differ_beyond_rounding,
    is_noisy,
    network_without_noise,
    record,
)

# Bytes of the budget for a value: those of two passes, in float32.
_BUDGET_PER_VALUE = 8


def known_activations(
    model: nn.Module,
    inputs: PassInputs,
    layers: Layers,
    sigma: float | None = None,
    *,
    max_memory: int = MAX_MEMORY,
    processes: Processes = ALONE,
) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer of a network and its activations (n, d), in the order of the pass; the noise of layers is off.

    Layers whose activations do not fit into `max_memory` together have passes of their own.

    Parameters
    ----------
    sigma : float, optional
        The smallest standard deviation that a measurement will add.

    Raises
    ------
    LayerSelectionError, TypeError
        As in `layer_information`.
    ValueError
        The activations differ in two passes, are not finite, or are too large in half precision for `sigma`; the
        parameters change during the passes.
    """
    network = network_without_noise(model, inputs, layers, sigma, max_memory=max_memory)
    check_rows(network, inputs.tensors, network.layer_names)
    n_inputs = len(inputs.tensors[0])
    budgets = {layer: n_inputs * network.units.get(layer, 0) * _BUDGET_PER_VALUE for layer in network.layer_names}
    for group in groups_within(max_memory, budgets):
        passes = record(network, inputs.tensors, Passes(group, range(2), seed=None, processes=processes))
        for layer in group:
            activations = _of_equal_passes(network, layer, passes.pop(layer))
            network.weights.check()
            yield layer, activations


def refuse_noise(model: nn.Module) -> None:
    """Raise a ValueError for a network that has noise."""
    if is_noisy(model):
        raise ValueError(
            "model: got a network that has noise of its own, wanted one without; remove the noise with "
            "layerbits.remove_noise(model), or measure it with layerbits.layer_information"
        )


def _of_equal_passes(network: MeasuredNetwork, layer: str, signals: Tensor) -> Tensor:
    first, second = signals.unbind(1)
    if differ_beyond_rounding(network, layer, first, second):
        raise ValueError(
            f"layers: got {layer!r}, whose activations differ in two passes of the same inputs, wanted functions of "
            "the input; make the network deterministic in evaluation, or choose other layers"
        )
    return first.clone()  # a view would keep both passes in memory
