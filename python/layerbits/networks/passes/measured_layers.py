"""`measured_layers`: the layers that a measurement takes, with their rows checked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from torch import Tensor

from layerbits._base import LayerSelectionError
from layerbits.networks.observation.layer_selection import Layers
from layerbits.networks.passes.measured_network import OBSERVED_ROWS, MeasuredNetwork
from layerbits.networks.passes.other_rows import OTHER_ROWS, layers_around, layers_with_other_rows
from layerbits.networks.passes.rows import check_rows


def measured_layers(network: MeasuredNetwork, inputs: Sequence[Tensor], layers: Layers) -> tuple[str, ...]:
    """Return the names of the layers that match `layers`, in the order of the data, after `check_rows` of them.

    None selects all layers. In a noisy network whose layers do not all have the rows of the inputs, as those of experts
    that get some of them, None selects the layers before the first such layer: the noise of a draw and an input cannot
    be repeated in a layer whose rows belong to no known inputs, so neither can the signals behind it.

    Raises
    ------
    LayerSelectionError, TypeError
        As `MeasuredNetwork.choose`.
    LayerSelectionError, ValueError
        As `check_rows`.

    Warns
    -----
    UserWarning
        Names the layers that None leaves out.
    """
    names = network.choose(layers)
    is_default = layers is None and network.adds_noise
    try:
        check_rows(network, inputs, names)
        if not is_default or network.units.keys() >= set(names):
            return names
        error: ValueError | None = None  # a layer did not run in all passes of the check
    except ValueError as failed:
        if not is_default:
            raise
        error = failed
    first = _first_with_other_rows(network, inputs, names)
    if first == len(names):
        if error is not None:
            raise error
        return names
    if not first:
        raise _noise_at_other_rows(network, inputs, names) from error
    check_rows(network, inputs, names[:first])
    behind = f" ({', '.join(names[first + 1 :])})" if names[first + 1 :] else ""
    warnings.warn(
        f"layers: None leaves out {names[first]}, {OTHER_ROWS}, and all layers behind its noise{behind}; "
        f"{network.remedy_for_rows}",
        stacklevel=2,
    )
    return names[:first]


def _first_with_other_rows(network: MeasuredNetwork, inputs: Sequence[Tensor], names: Sequence[str]) -> int:
    """Return the index of the first layer whose rows are not those of the inputs; the number of layers if none."""
    others = layers_with_other_rows(network, inputs)
    return next((index for index, name in enumerate(names) if name in others), len(names))


def _noise_at_other_rows(
    network: MeasuredNetwork, inputs: Sequence[Tensor], names: Sequence[str]
) -> LayerSelectionError:
    """Return the error for a first layer whose rows are not those of the inputs, with layers that can be measured."""
    n_inputs = min(OBSERVED_ROWS, len(inputs[0]))
    first, *others = (call for call in network.calls if call.name in names)
    around = layers_around(network, [first, *(call for call in others if call.shape[:1] != (n_inputs,))])
    remedy = network.remedy_for_rows
    if around:
        remedy = (
            f"call layerbits.noisify(model, sigma=..., layers={around}), or layerbits.remove_noise(model) and measure "
            f"with sigma=... and layers={around}"
        )
    return LayerSelectionError(
        f"layers: got noise at {first.name!r}, {OTHER_ROWS} (shape {first.shape} for {n_inputs} inputs), wanted noise "
        f"at layers with rows of the inputs; {remedy}"
    )
