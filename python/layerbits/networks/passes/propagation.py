"""The public passes: `propagate` records noisy layers, `layer_activations` records layers without noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy.typing as npt
from torch import Tensor, nn

from layerbits._base import Array, LayerSelectionError, check_count, listed, refuse_earlier_parameters
from layerbits.kernels import as_tensor
from layerbits.networks.execution.arguments import MAX_MEMORY, check_max_memory, check_module
from layerbits.networks.execution.global_generators import global_states_restored
from layerbits.networks.execution.shadow import check_can_have_noise
from layerbits.networks.inputs.input_reader import read_inputs
from layerbits.networks.inputs.pass_inputs import Inputs
from layerbits.networks.noise.hooks import is_noisy
from layerbits.networks.observation.layer_selection import Layers
from layerbits.networks.passes.channel_hooks import network_without_noise, noisy_network
from layerbits.networks.passes.measured_layers import measured_layers
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.planned_passes import Passes
from layerbits.networks.passes.recording import record
from layerbits.networks.passes.rows import check_rows

_Array = npt.NDArray[Any]


@overload
def propagate(
    model: nn.Module,
    inputs: Tensor | tuple[Tensor, ...],
    *,
    draws: int = ...,
    seed: int = ...,
    layers: Layers = ...,
    chunk: int | None = ...,
    max_memory: int = ...,
    given: Mapping[str, Array] | None = ...,
) -> dict[str, Tensor]: ...
@overload
def propagate(
    model: nn.Module,
    inputs: _Array | tuple[_Array, ...],
    *,
    draws: int = ...,
    seed: int = ...,
    layers: Layers = ...,
    chunk: int | None = ...,
    max_memory: int = ...,
    given: Mapping[str, Array] | None = ...,
) -> dict[str, _Array]: ...
@overload
def propagate(
    model: nn.Module,
    inputs: Inputs,
    *,
    draws: int = ...,
    seed: int = ...,
    layers: Layers = ...,
    chunk: int | None = ...,
    max_memory: int = ...,
    given: Mapping[str, Array] | None = ...,
) -> dict[str, Any]: ...
@refuse_earlier_parameters(noisy="model")
@global_states_restored(after_success=False)
def propagate(
    model: nn.Module,
    inputs: Inputs,
    *,
    draws: int = 32,
    seed: int = 0,
    layers: Layers = None,
    chunk: int | None = None,
    max_memory: int = MAX_MEMORY,
    given: Mapping[str, Array] | None = None,
) -> dict[str, Tensor] | dict[str, _Array]:
    """Record the signals of noisy layers in several noisy passes of every input.

    The signal of a layer is its output before its own noise; it depends on the noise of earlier layers. The passes run
    in evaluation mode, without gradients, and end after the last recorded layer, unless all noisy layers are recorded.
    They change neither the network nor the states of torch's generators: random numbers of the network itself come from
    `seed`. If the layers have not been observed yet, the call first installs their noise.

    Parameters
    ----------
    model : torch.nn.Module
        A network with noise, as `noisify` returns it.
    inputs : tensor, array, tuple, mapping, data frame, Dataset, DataLoader or iterable of batches
        The n values of X, as in `layer_information`; batches must not hold labels.
    draws : int
        Noisy passes per input.
    seed : int
        Seed of the noise. The noise of an input in a draw does not depend on `chunk`, `draws` or `layers`. Signals may
        depend on these arguments through the rounding of matrix products, and through random numbers of the network
        itself. The noise of a CUDA device differs from that of the CPU.
    layers : None, str, type, callable or a sequence of them
        The noisy layers to record, as in `noisify`; all by default.
    chunk : int, optional
        Largest number of rows of a pass; rows = inputs x draws in the pass. By default 32,768, or fewer: a pass of
        several rows has at most 2^20 input values, and its tensors take at most a 32nd of `max_memory`.
    max_memory : int
        Budget in bytes, at least 1 MiB; the returned signals are not counted. A smaller budget makes passes of fewer
        rows. Their number depends on the arguments of this function alone, so results repeat.
    given : dict of str to tensor or array of shape (n, dim), optional
        Values that layers emit in every draw, in place of signal plus noise. The signals of later layers are then those
        given these values.

    Returns
    -------
    dict of str to tensor of shape (n, draws, dim)
        Signals by layer, in the order of the data, with the units of a layer flattened. Signals in half precision are
        returned in float32. If the inputs are arrays, the signals are arrays.

    Raises
    ------
    NoNoiseError
        `model` has no noise, or the noise is switched off.
    LayerSelectionError
        `layers` is empty or matches no noisy layer, or `given` names no noisy layer; a layer did not run, ran too
        often, or returned another number of rows than it got.
    TypeError, ValueError
        An argument has another type or value than wanted; inputs are empty, NaN or infinite; rows act on one another; a
        signal is NaN or infinite; the parameters change meanwhile.
    MemoryError
        The system has no memory for a pass, or for the signals.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2), torch.nn.Tanh())
    >>> noisy = lb.noisify(model, sigma=0.1, layers=torch.nn.Tanh)
    >>> inputs = torch.eye(2)
    >>> {layer: tuple(signals.shape) for layer, signals in lb.propagate(noisy, inputs, draws=5).items()}
    {'1': (2, 5, 3), '3': (2, 5, 2)}
    """
    check_module(model)
    draws = check_count("draws", draws, minimum=1, maximum=2**31)
    seed = check_count("seed", seed, minimum=0)
    max_memory = check_max_memory(max_memory)
    data = read_inputs(inputs, model, max_memory=max_memory)
    check_can_have_noise(model)
    network = noisy_network(model, data, max_memory=max_memory)
    layer_names = measured_layers(network, data.tensors, layers)
    emitted = _emitted_values(given, network, len(data))
    passes = Passes(layer_names, range(draws), seed, chunk, emitted, checks_float=False)
    signals = record(network, data.tensors, passes)
    network.weights.check()
    return {layer: signal.numpy(force=True) for layer, signal in signals.items()} if data.are_arrays else signals


def _emitted_values(given: Mapping[str, Array] | None, network: MeasuredNetwork, n_inputs: int) -> dict[str, Tensor]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"given: got {type(given).__name__}, wanted a mapping from layers to values")
    values = {layer: as_tensor("given", value) for layer, value in (given or {}).items()}
    unknown = [layer for layer in values if layer not in network.layer_names]
    if unknown:
        raise LayerSelectionError(
            f"given: got {unknown[0]!r}, wanted names among the noisy layers: {listed(network.layer_names)}"
        )
    for layer, value in values.items():
        if value.shape[:1] != (n_inputs,):
            raise ValueError(f"given: got shape {tuple(value.shape)} for {layer!r}, wanted ({n_inputs}, dim)")
    return values


@overload
def layer_activations(
    model: nn.Module, inputs: Tensor | tuple[Tensor, ...], *, layers: Layers = ..., max_memory: int = ...
) -> dict[str, Tensor]: ...
@overload
def layer_activations(
    model: nn.Module, inputs: _Array | tuple[_Array, ...], *, layers: Layers = ..., max_memory: int = ...
) -> dict[str, _Array]: ...
@overload
def layer_activations(
    model: nn.Module, inputs: Inputs, *, layers: Layers = ..., max_memory: int = ...
) -> dict[str, Any]: ...
@global_states_restored(after_success=False)
def layer_activations(
    model: nn.Module,
    inputs: Inputs,
    *,
    layers: Layers = None,
    max_memory: int = MAX_MEMORY,
) -> dict[str, Tensor] | dict[str, _Array]:
    """Record the activations of layers without noise.

    The passes run in evaluation mode and without gradients, and change neither the network nor the states of torch's
    generators. Random numbers of the network itself have a fixed seed. If `layers` is None and the layers of a noisy
    network have not been observed yet, the call first installs their noise.

    Parameters
    ----------
    model : torch.nn.Module
        Any network; the noise of a noisy network is off in these passes.
    inputs : tensor, array, tuple, mapping, data frame, Dataset, DataLoader or iterable of batches
        As in `propagate`.
    layers : None, str, type, callable or a sequence of them
        As in `noisify`; None selects the noisy layers of a noisy network.
    max_memory : int
        As in `propagate`.

    Returns
    -------
    dict of str to tensor of shape (n, d)
        Activations by layer, in the order of the data, with the units of a layer flattened. Activations in half
        precision are returned in float32. If the inputs are arrays, the activations are arrays.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError, MemoryError
        As in `noisify` and `propagate`.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> tuple(lb.layer_activations(model, torch.eye(2))["1"].shape)
    (2, 3)
    """
    check_module(model)
    max_memory = check_max_memory(max_memory)
    data = read_inputs(inputs, model, max_memory=max_memory)
    if layers is None and is_noisy(model):
        layers = measured_layers(noisy_network(model, data, may_be_off=True), data.tensors, None)
    network = network_without_noise(model, data, layers, max_memory=max_memory)
    check_rows(network, data.tensors, network.layer_names)
    signals = record(network, data.tensors, Passes(network.layer_names, range(1), seed=None))
    network.weights.check()
    activations = {layer: signal[:, 0] for layer, signal in signals.items()}
    if data.are_arrays:
        return {layer: values.numpy(force=True) for layer, values in activations.items()}
    return activations
