"""`measured_layers`: the layers that a measurement takes, with their rows checked."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

from torch import Tensor

from layerbits._base import LayerSelectionError, listed, stacklevel_of_user
from layerbits.networks.observation.layer_selection import Layers
from layerbits.networks.passes.measured_network import OBSERVED_ROWS, MeasuredNetwork
from layerbits.networks.passes.other_rows import (
    OTHER_ROWS,
    layers_around,
    layers_moved_by_noise,
    layers_with_other_rows,
)
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
        Names the layers that None leaves out, and those that a hook of the user changes behind the noise.
    """
    names = network.choose(layers)
    if not network.adds_noise:
        check_rows(network, inputs, names)
        return names
    named = frozenset() if layers is None else frozenset(names)
    kept = _with_rows_of_inputs(network, inputs, names, named)
    # Noise may route rows to other experts; a pass without noise does not show that.
    moved = layers_moved_by_noise(network, inputs, kept) - named
    if moved:
        kept = _without(network, inputs, kept, moved)
    left_out = [name for name in names if name not in kept]
    if left_out:
        warnings.warn(
            f"layers: None leaves out {listed(left_out)}, {OTHER_ROWS}; their noise acts on the layers behind them",
            stacklevel=stacklevel_of_user(),
        )
    if network.switched_off and layers is None:
        warnings.warn(
            f"layers: None leaves out {listed(network.switched_off)}, whose noise the forward of the network turns off "
            "(noise_off)",
            stacklevel=stacklevel_of_user(),
        )
    hooked = [name for name in kept if name in network.changed_behind_noise]
    if hooked:
        warnings.warn(
            f"model: got a forward hook that changes {listed(hooked)} behind the noise, wanted none, because T is "
            "the value right after the noise, without the hook; call noisify after the hook is registered, or register "
            "it with prepend=True",
            stacklevel=stacklevel_of_user(),
        )
    return kept


def _with_rows_of_inputs(
    network: MeasuredNetwork, inputs: Sequence[Tensor], names: tuple[str, ...], named: Collection[str]
) -> tuple[str, ...]:
    """Return the names of the layers that have the rows of the inputs in passes without noise, after `check_rows`.

    The other layers become random numbers of the network. If one of them is in `named`, raise the error of the check,
    or return all names if there is none.
    """
    error: ValueError | None = None
    try:
        check_rows(network, inputs, names)
        if network.units.keys() >= set(names):
            return names
    except ValueError as failed:
        error = failed
    # Rows failed the check, or a layer did not run in all of its passes.
    others = layers_with_other_rows(network, inputs)
    if others and not others.intersection(named):
        return _without(network, inputs, names, others, error)
    if error is not None:
        raise error
    check_rows(network, inputs, names)  # finds the axes of the rows again, which the search for other rows clears
    return names


def _without(
    network: MeasuredNetwork,
    inputs: Sequence[Tensor],
    names: Sequence[str],
    others: Collection[str],
    error: ValueError | None = None,
) -> tuple[str, ...]:
    """Make the noise of `others` random numbers of the network, and return the other names after `check_rows`."""
    kept = tuple(name for name in names if name not in others)
    if not kept:
        raise _noise_at_other_rows(network, inputs, names) from error
    network.route_noise(others)
    check_rows(network, inputs, kept)
    return kept


def _noise_at_other_rows(
    network: MeasuredNetwork, inputs: Sequence[Tensor], names: Sequence[str]
) -> LayerSelectionError:
    """Return the error for a first layer whose rows are not those of the inputs, with layers that can be measured."""
    n_inputs = min(OBSERVED_ROWS, len(inputs[0]))
    first, *others = (call for call in network.calls if call.name in names)
    around = layers_around(network, inputs, [first, *(call for call in others if call.shape[:1] != (n_inputs,))])
    remedy = network.remedy_for_rows(first.name)
    if around:
        remedy = (
            f"call layerbits.noisify(model, sigma=..., layers={around}), or layerbits.remove_noise(model) and measure "
            f"with sigma=... and layers={around}"
        )
    return LayerSelectionError(
        f"layers: got noise at {first.name!r}, {OTHER_ROWS} (shape {first.shape} for {n_inputs} inputs), wanted noise "
        f"at layers with rows of the inputs; {remedy}"
    )
