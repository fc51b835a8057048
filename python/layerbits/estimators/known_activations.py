"""Activations S of a network without noise, refused where two passes differ, so that S + sigma Z is a known channel."""

from __future__ import annotations

from torch import Tensor, nn

from layerbits.kernels import ALONE, Processes
from layerbits.networks import (
    Layers,
    Passes,
    PassInputs,
    check_rows,
    differ_beyond_rounding,
    is_noisy,
    network_without_noise,
    record,
)


def known_activations(
    model: nn.Module, inputs: PassInputs, layers: Layers, sigma: float, processes: Processes = ALONE
) -> dict[str, Tensor]:
    """Return the activations (n, d) of layers of a network by name, in the order of the pass.

    Parameters
    ----------
    sigma : float
        The smallest standard deviation that a measurement will add.

    Raises
    ------
    LayerSelectionError, TypeError
        As in `layer_information`.
    ValueError
        The network is noisy; or as in `activations_without_noise`.
    """
    if is_noisy(model):
        raise ValueError(
            "model: got a network that has noise of its own, wanted one without; remove the noise with "
            "layerbits.remove_noise(model), or measure it with layerbits.layer_information"
        )
    return activations_without_noise(model, inputs, layers, sigma, processes)


def activations_without_noise(
    model: nn.Module, inputs: PassInputs, layers: Layers, sigma: float | None = None, processes: Processes = ALONE
) -> dict[str, Tensor]:
    """Return the activations (n, d) of layers by name as `known_activations`, with the noise of a noisy network off.

    Raises
    ------
    LayerSelectionError, TypeError
        As in `layer_information`.
    ValueError
        The activations differ in two passes, are not finite, or are too large in half precision for `sigma`.
    """
    network = network_without_noise(model, inputs, layers, sigma)
    check_rows(network, inputs.tensors, network.layer_names)
    passes = record(network, inputs.tensors, Passes(network.layer_names, range(2), seed=None, processes=processes))
    activations = {}
    for layer in list(passes):
        first, second = passes.pop(layer).unbind(1)
        if differ_beyond_rounding(network, layer, first, second):
            raise ValueError(
                f"layers: got {layer!r}, whose activations differ in two passes of the same inputs, wanted functions "
                "of the input; make the network deterministic in evaluation, or choose other layers"
            )
        activations[layer] = first.clone()  # a view would keep both passes in memory
    return activations
