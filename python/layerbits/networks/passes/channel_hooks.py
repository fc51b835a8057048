"""Build a `MeasuredNetwork`: hooks in a shadow of a network call the channel at each layer, in place of the noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layerbits._base import LayerSelectionError, NoNoiseError
from layerbits.networks.execution.arguments import MAX_MEMORY, check_module
from layerbits.networks.execution.checkpointing import WITHOUT_CHECKPOINTS, in_backward_pass
from layerbits.networks.execution.generators import generators_restored
from layerbits.networks.execution.originals import originals_protected
from layerbits.networks.execution.output_tensor import (
    measured_signal,
    other_tensors,
    replace_tensor,
    signal_of,
)
from layerbits.networks.execution.own_hooks import OwnHook, delete_own_hooks
from layerbits.networks.execution.shadow import check_has_float_weights, modules_by_name, shadow, unwrapped
from layerbits.networks.inputs.pass_inputs import PassInputs
from layerbits.networks.noise.add_noise import AddNoise
from layerbits.networks.noise.function_hooks import EnterFunctions, add_function_hooks
from layerbits.networks.noise.hooks import noise_hooks
from layerbits.networks.noise.installation import observe_waiting, waiting_noise
from layerbits.networks.noise.normal_values import standard_normal
from layerbits.networks.noise.relative import RelativeSigma
from layerbits.networks.noise.sigma_by_layer import Sigma, noise_by_key, noise_of_layers
from layerbits.networks.noise.switch import NoiseSwitch
from layerbits.networks.observation.call_recorders import RefuseOriginals
from layerbits.networks.observation.layer_calls import LayerCall, call_name, observe_inputs
from layerbits.networks.observation.layer_selection import Layers, choose_layers
from layerbits.networks.observation.signal_values import rounding_step
from layerbits.networks.passes.end_of_pass import EndOfPass
from layerbits.networks.passes.flattened_rows import find_flattened_rows
from layerbits.networks.passes.hook_behind_noise import HookBehindNoise
from layerbits.networks.passes.measured_network import OBSERVED_ROWS, MeasuredNetwork
from layerbits.networks.passes.other_rows import leave_out_other_rows
from layerbits.networks.passes.rows import check_rows


class _NoisyLayerHook:
    """The hook in place of an `AddNoise` in a shadow: list the calls in the first pass; later, call the channel.

    Calls within a `noise_off` that forward itself enters have no noise.
    """

    def __init__(self, network: MeasuredNetwork, hook: AddNoise, call: LayerCall) -> None:
        self.network, self.hook, self.call = network, hook, call

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        number, noise = self.network.next_number(self.call.called), self.hook.next_noise()
        if noise is None:
            return output
        name = call_name(self.call.called, number)
        if self.hook.switch.is_off and not self.network.is_off:
            self.network.switched_off += [name] if self.network._channel is None else []
            return output
        if in_backward_pass():
            raise LayerSelectionError(
                f"layers: got {self.call.called!r}, which runs again while gradients are computed, as in a checkpoint, "
                f"wanted one run; {WITHOUT_CHECKPOINTS}"
            )
        if self.network._channel is None:
            signal = measured_signal(name, output)
            noise.check(name, signal.shape)
            self.network.noise[name] = noise.per_unit(signal.shape)
            call = dataclasses.replace(
                self.call,
                name=name,
                number=number,
                shape=() if signal.is_nested else tuple(signal.shape),
                rounding_step=rounding_step(signal),
            )
            self.network.calls.append(call)
            if other_tensors(output):
                self.network.other_outputs[name] = False
        elif self.network.has_routed_noise and name not in self.network.layer_names:
            if not self.network.adds_routed_noise:
                return output
            signal = signal_of(name, output)
            normals = [standard_normal(signal, self.hook.switch) for _ in range(noise.n_normals)]
            return replace_tensor(output, signal, noise.add(signal, *normals))
        return self.network.pass_on(name, output)


class _LayerHook:
    """The hook in a shadow without noise: call the channel at those calls of a module or function that are layers."""

    def __init__(self, network: MeasuredNetwork, called: str) -> None:
        self.network, self.called = network, called

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        name = call_name(self.called, self.network.next_number(self.called))
        return self.network.pass_on(name, output) if name in self.network.layer_names else output


def noisy_network(
    model: object, inputs: PassInputs, *, may_be_off: bool = False, max_memory: int = MAX_MEMORY
) -> MeasuredNetwork:
    """Make the `MeasuredNetwork` of a noisy network; a pass of the first inputs shows its layers.

    If the layers have not been observed yet, the call first installs their noise. If `may_be_off`, the noise of the
    network may be off. `max_memory` is the budget of the measurement in bytes.

    Raises
    ------
    NoNoiseError
        The network has no noise, or its noise is off and `may_be_off` is False.
    LayerSelectionError, TypeError, ValueError
        `model` is no network, or cannot have a shadow; a first pass fails; layers that have not been observed have a
        `RelativeSigma`, or belong to a network inside this one.
    """
    root = _unwrapped(model)
    if any(waiting.is_relative for waiting in waiting_noise(root)):
        raise ValueError(
            "model: got a RelativeSigma of layers that have not been observed, wanted inputs that give the root mean "
            "square; pass inputs= to noisify"
        )
    first_rows = _first_rows(inputs.tensors)
    observe_waiting(root, [inputs.arguments(first_rows)])
    hooks = noise_hooks(root)
    if not hooks:
        raise NoNoiseError(
            f"model: got {type(model).__name__}, wanted a network with noise: without noise, I(X;T) is log N for N "
            "inputs that stay distinct, or infinite, whatever the network has learnt; add noise with "
            "layerbits.noisify(model, sigma=...), or in the measurement alone with sigma= (`--sigma` of a command)"
        )
    is_off = any(hook.switch.is_off for hook in hooks)
    if is_off and not may_be_off:
        raise NoNoiseError("model: got a network whose noise is off, wanted it on; measure outside of noise_off")
    copied, originals = shadow(root), modules_by_name(root)
    network = MeasuredNetwork(copied, inputs, original=root, adds_noise=True)
    network.is_off = is_off
    network.max_memory = max_memory
    for name, module in modules_by_name(copied).items():
        _replace_forward_hooks(network, module, LayerCall("", name, originals[name]))
        for key, hook in module._forward_pre_hooks.items():
            if isinstance(hook, EnterFunctions):
                module._forward_pre_hooks[key] = EnterFunctions(
                    hook.switch,
                    {
                        function: _NoisyLayerHook(
                            network, layer, LayerCall("", name, originals[name], function=function)
                        )
                        for function, layer in hook.layers.items()
                        if isinstance(layer, AddNoise)
                    },
                    keeps_dense=hook.keeps_dense,
                )
    network.padding_tokens.make_dense(copied)  # now, because its hooks are not hooks of the user behind the noise
    with originals_protected(root), RefuseOriginals(root), generators_restored(copied):
        network.run(None, _first_rows(inputs.tensors))
    if not network.calls:
        remedy = "call noisify again, with these inputs"
        if isinstance(root, torch.fx.GraphModule):
            first = "call layerbits.remove_noise on the network that was traced"
            remedy = f"torch.fx traces functions without their noise: {first}, then noisify this one with these inputs"
        if network.switched_off:
            remedy = "its forward turns the noise off (noise_off) in evaluation: leave it on, or measure with sigma="
        raise LayerSelectionError(
            "model: got a network of which no noisy layer runs in a pass of these inputs, wanted one that runs; "
            f"{remedy}"
        )
    find_flattened_rows(network, inputs.tensors)
    for layer in network.other_outputs:
        network.find_other_output(layer, _first_rows(inputs.tensors))
    return network


def _replace_forward_hooks(network: MeasuredNetwork, module: nn.Module, call: LayerCall) -> None:
    """Replace the hook that adds the noise of a module of the shadow, and the hooks of the user behind it."""
    is_behind_noise = False
    for key, hook in module._forward_hooks.items():
        if isinstance(hook, AddNoise):
            module._forward_hooks[key] = _NoisyLayerHook(network, hook, call)
            is_behind_noise = True
        elif is_behind_noise and not isinstance(hook, OwnHook):
            module._forward_hooks[key] = HookBehindNoise(network, call.called, hook)


def network_without_noise(
    model: object, inputs: PassInputs, layers: Layers, sigma: Sigma | None = None, *, max_memory: int = MAX_MEMORY
) -> MeasuredNetwork:
    """Make the `MeasuredNetwork` of a network without its noise.

    Parameters
    ----------
    model : torch.nn.Module
        Any network.
    inputs : PassInputs
        The inputs; a pass of the first ones shows the layers.
    layers : None, str, type, callable or a sequence of them
        The layers that call the channel, as in `noisify`. None leaves out layers whose rows are not those of the
        inputs, with a warning.
    sigma : float, tensor, array, DropoutNoise, RelativeSigma or mapping of str to them, optional
        The noise that the measurement adds to the signals of the layers, as in `noisify`. The root mean square of a
        `RelativeSigma` is that over all inputs.
    max_memory : int
        Budget of the measurement in bytes.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError
        As `noisify`.
    """
    root = _unwrapped(model)
    check_has_float_weights(root)
    by_key = {} if sigma is None else noise_by_key(sigma)
    arguments = inputs.arguments(_first_rows(inputs.tensors))
    calls = choose_layers(observe_inputs(root, *arguments), layers, named=by_key, network=root)
    copied, switch = shadow(root), NoiseSwitch()
    delete_own_hooks(copied)
    network = MeasuredNetwork(copied, inputs, original=root, adds_noise=False)
    network.max_memory = max_memory
    network.switches = {switch}
    network.padding_tokens.make_dense(copied)
    network.calls = calls
    modules, functions = modules_by_name(copied), dict[nn.Module, dict[str, _LayerHook]]()
    for call in {call.called: call for call in calls}.values():
        module, hook = modules[call.module_name], _LayerHook(network, call.called)
        if call.function:
            functions.setdefault(module, {})[call.function] = hook
        else:
            module.register_forward_hook(hook)
    add_function_hooks(copied, switch, functions)
    find_flattened_rows(network, inputs.tensors)
    if layers is None:
        leave_out_other_rows(network, inputs.tensors, by_key)
    if any(isinstance(noise, RelativeSigma) for noise in by_key.values()):
        network.calls = _with_root_mean_squares(network, inputs.tensors)
    noise = noise_of_layers(by_key, network.calls) if by_key else {}
    for call in network.calls if by_key else ():
        network.noise[call.name] = noise[call.name].per_unit(call.shape).repeated(network.tokens.get(call.name, 1))
    return network


def _with_root_mean_squares(network: MeasuredNetwork, inputs: Sequence[Tensor]) -> list[LayerCall]:
    """Return the layers with their root mean squares over all inputs."""
    squares, counts = [0.0] * len(network.calls), [0] * len(network.calls)
    layers_run: set[int] = set()

    def add(index: int, signal: Tensor) -> Tensor:
        squares[index] += float(signal.double().square().sum())
        counts[index] += signal.numel()
        layers_run.add(index)
        if len(layers_run) == len(network.calls):
            raise EndOfPass
        return signal

    check_rows(network, inputs, network.layer_names)
    rows = network.rows_per_pass(inputs)
    for number, batch in enumerate(zip(*(torch.split(tensor, rows) for tensor in inputs), strict=True)):
        layers_run.clear()
        with network.own_randomness(number):
            network.run(add, _first_rows(batch, rows))
    return [
        dataclasses.replace(call, root_mean_square=math.sqrt(total / count) if count else math.nan)
        for call, total, count in zip(network.calls, squares, counts, strict=True)
    ]


def _unwrapped(model: object) -> nn.Module:
    check_module(model)
    assert isinstance(model, nn.Module)
    return unwrapped(model)


def _first_rows(inputs: Sequence[Tensor], rows: int = OBSERVED_ROWS) -> tuple[Tensor, ...]:
    """Return copies of the first rows of the inputs: a network may write into its arguments."""
    return tuple(tensor[:rows].clone() for tensor in inputs)
