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

    In a noisy network, experts that get some of the tokens have rows of no known inputs. Then None leaves their layers
    out, and their noise becomes random numbers of the network itself.

    Raises
    ------
    LayerSelectionError, TypeError
        As `MeasuredNetwork.choose`; or a noisy network has no layers with the rows of the inputs.
    LayerSelectionError, ValueError
        As `check_rows`.

    Warns
    -----
    UserWarning
        Names the layers that None leaves out.
    """
    names = network.choose(layers)
    try:
        check_rows(network, inputs, names)
        if not network.adds_noise or network.units.keys() >= set(names):
            return names
        error: ValueError | None = None  # a layer did not run in all passes of the check
    except ValueError as failed:
        if not network.adds_noise:
            raise
        error = failed
    others = layers_with_other_rows(network, inputs)
    if not others or (layers is not None and others & set(names)):
        if error is not None:
            raise error
        return names
    kept = tuple(name for name in names if name not in others)
    if not kept:
        raise _noise_at_other_rows(network, inputs, names) from error
    left_out = [name for name in names if name in others]
    network.route_noise(others)
    check_rows(network, inputs, kept)
    if left_out:
        warnings.warn(
            f"layers: None leaves out {', '.join(left_out)}, {OTHER_ROWS}; their noise acts on the layers behind them",
            stacklevel=2,
        )
    return kept


def _noise_at_other_rows(
    network: MeasuredNetwork, inputs: Sequence[Tensor], names: Sequence[str]
) -> LayerSelectionError:
    """Return the error for a first layer whose rows are not those of the inputs, with layers that can be measured."""
    n_inputs = min(OBSERVED_ROWS, len(inputs[0]))
    first, *others = (call for call in network.calls if call.name in names)
    around = layers_around(network, inputs, [first, *(call for call in others if call.shape[:1] != (n_inputs,))])
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
