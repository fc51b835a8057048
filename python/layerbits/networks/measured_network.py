"""A network as a measurement runs it: a shadow in which a channel takes the place of the noise of each layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layerbits._base import BEFORE_ROUNDING, MEASUREMENT_NOISE, OTHER_OUTPUT, LayerSelectionError, NoNoiseError
from layerbits.networks.call_recorders import RefuseOriginals
from layerbits.networks.first_call import observe_waiting, waiting_noise
from layerbits.networks.functional_layers import EnterFunctions, add_function_hooks
from layerbits.networks.gaussian_noise import GaussianNoise, RelativeSigma, Sigma, rounding_step
from layerbits.networks.generators import generators_restored
from layerbits.networks.layer_calls import LayerCall, call_name, observe_inputs
from layerbits.networks.layer_selection import Layers, choose_layers
from layerbits.networks.noise_by_layer import noise_by_key, noise_of_layers
from layerbits.networks.noise_hooks import AddNoise, delete_noise_hooks, noise_hooks
from layerbits.networks.noise_switch import NoiseSwitch
from layerbits.networks.output_tensor import all_tensors, measured_signal, other_tensors, replace_tensor
from layerbits.networks.pass_arguments import check_module, naming_inputs, rows_per_pass
from layerbits.networks.shadow import shadow, unwrapped

# Maps the index of a layer and its signal to the value with which the network continues.
Channel = Callable[[int, Tensor], Tensor]

# Rows of the pass that shows which layers a network has.
_OBSERVED_ROWS = 2


class MeasuredNetwork:
    """A shadow of a network whose layers call a channel, made by `noisy_network` or `network_without_noise`.

    Attributes
    ----------
    calls : list of LayerCall
        The layers, in the order of the data.
    noise : dict of str to GaussianNoise
        Noise of each layer by its name; empty if `network_without_noise` got no sigma.
    adds_noise : bool
        Whether the network itself adds the noise, so that later layers lie behind it.
    other_outputs : dict of str to bool
        For each layer that returns several tensors, of which the first has the noise: whether the network uses another.
    switches : set of NoiseSwitch
        Switches of the hooks of the shadow.
    """

    def __init__(self, copied: nn.Module, *, adds_noise: bool) -> None:
        self.adds_noise = adds_noise
        self.calls: list[LayerCall] = []
        self.noise: dict[str, GaussianNoise] = {}
        self.other_outputs: dict[str, bool] = {}
        self.switches = {hook.switch for hook in noise_hooks(copied)}
        self._copied = copied
        self._channel: Channel | None = None
        self._moved = ""  # the layer whose other tensors are moved in the running pass
        self._counts: dict[str, int] = {}

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the data."""
        return tuple(call.name for call in self.calls)

    def choose(self, layers: Layers) -> tuple[str, ...]:
        """Return the names of the layers that match `layers`, all by default, in the order of the data.

        Raises
        ------
        LayerSelectionError, TypeError
            As `choose_layers`.
        """
        return self.layer_names if layers is None else tuple(call.name for call in choose_layers(self.calls, layers))

    def flags(self, layer: str) -> tuple[str, ...]:
        """Return the flags of a layer in an information table."""
        rounded = any(call.name == layer and call.rounding_step > 0 for call in self.calls)
        other = self.other_outputs.get(layer, False)
        return (MEASUREMENT_NOISE,) * (not self.adds_noise) + (BEFORE_ROUNDING,) * rounded + (OTHER_OUTPUT,) * other

    def run(self, channel: Channel | None, inputs: Sequence[Tensor]) -> object:
        """Run a pass without gradients, in which the layers call `channel`, and return its output.

        Raises
        ------
        LayerSelectionError
            A layer ran more often than in the observed pass, or returned no floating-point tensor.
        ValueError
            The network cannot take the inputs.
        """
        self._channel = channel
        self._counts.clear()
        try:
            with torch.no_grad(), naming_inputs(inputs):
                return self._copied(*inputs)
        finally:
            for switch in self.switches:
                switch.counts.drop_interrupted()

    def find_other_output(self, layer: str, inputs: Sequence[Tensor]) -> None:
        """Find out whether the network uses the other tensors of a layer, from a pass in which 1 is added to them."""
        unmoved = self._values_of_pass("", inputs)
        moved = self._values_of_pass(layer, inputs)
        same = len(unmoved) == len(moved) and all(map(torch.equal, unmoved, moved))
        self.other_outputs[layer] = not same

    def _values_of_pass(self, moved: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return signals and output of a pass without noise, in which 1 is added to the other tensors of a layer."""
        values: list[Tensor] = []

        def keep(_: int, signal: Tensor) -> Tensor:
            values.append(signal.clone())
            return signal

        self._moved = moved
        with generators_restored(self._copied):
            output = self.run(keep, [tensor.clone() for tensor in inputs])
        self._moved = ""
        return [*values, *all_tensors(output)]

    def next_number(self, called: str) -> int:
        """Count a call of a module or function in the running pass, and return its number."""
        self._counts[called] = self._counts.get(called, 0) + 1
        return self._counts[called]

    def pass_on(self, name: str, output: Any) -> Any:
        """Return the output of a layer after the channel."""
        if self._channel is None:
            return output
        index = next((index for index, call in enumerate(self.calls) if call.name == name), None)
        if index is None:
            raise LayerSelectionError(
                f"layers: got {name!r}, which did not run in the pass that showed the layers; wanted a network whose "
                "layers run equally often for all inputs"
            )
        signal = measured_signal(name, output)
        if name == self._moved:
            for tensor in other_tensors(output):
                output = replace_tensor(output, tensor, tensor + 1)
        value = self._channel(index, signal)
        return output if value is signal else replace_tensor(output, signal, value)


class _NoisyTap:
    """Takes the place of an `AddNoise` in a shadow: observes a layer in the first pass, then calls the channel."""

    def __init__(self, network: MeasuredNetwork, hook: AddNoise, call: LayerCall) -> None:
        self.network, self.hook, self.call = network, hook, call

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        number, noise = self.network.next_number(self.call.called), self.hook.next_noise()
        if noise is None:
            return output
        name = call_name(self.call.called, number)
        if self.network._channel is None:
            signal = measured_signal(name, output)
            noise.check(name, signal.shape)
            self.network.noise[name] = noise.per_unit(signal.shape)
            call = dataclasses.replace(self.call, name=name, number=number, rounding_step=rounding_step(signal))
            self.network.calls.append(call)
            if other_tensors(output):
                self.network.other_outputs[name] = False
        return self.network.pass_on(name, output)


class _PlainTap:
    """A hook of a shadow without noise: calls the channel for the chosen calls of a module or function."""

    def __init__(self, network: MeasuredNetwork, called: str) -> None:
        self.network, self.called = network, called

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        name = call_name(self.called, self.network.next_number(self.called))
        return self.network.pass_on(name, output) if name in self.network.layer_names else output


def noisy_network(model: object, inputs: Sequence[Tensor], *, may_be_off: bool = False) -> MeasuredNetwork:
    """Return a noisy network as a measurement runs it; a pass of the first inputs shows its layers.

    `may_be_off` accepts a network whose noise is off.

    Raises
    ------
    NoNoiseError
        The network has no noise, or its noise is off.
    LayerSelectionError, TypeError, ValueError
        The first pass fails; a network inside this one waits for its first call.
    """
    root = _checked(model)
    if any(waiting.is_relative for waiting in waiting_noise(root)):
        raise ValueError(
            "model: got a RelativeSigma of layers that are observed in the first call, wanted inputs over which to "
            "take the root mean square; pass inputs= to noisify"
        )
    observe_waiting(root, _first_rows(inputs), {})
    hooks = noise_hooks(root)
    if not hooks:
        raise NoNoiseError(
            f"model: got {type(model).__name__}, wanted a network with noise: without noise, I(X;T) is log N for N "
            "inputs that stay distinct, or infinite, whatever the network has learnt; add noise with "
            "layerbits.noisify(model, sigma=...), or in the measurement alone with sigma="
        )
    if not may_be_off and any(hook.switch.is_off for hook in hooks):
        raise NoNoiseError("model: got a network whose noise is off, wanted it on; call this outside of noise_off")
    copied, originals = shadow(root), dict(root.named_modules())
    network = MeasuredNetwork(copied, adds_noise=True)
    for name, module in copied.named_modules():
        for key, hook in module._forward_hooks.items():
            if isinstance(hook, AddNoise):
                module._forward_hooks[key] = _NoisyTap(network, hook, LayerCall("", name, originals[name]))
        for key, hook in module._forward_pre_hooks.items():
            if isinstance(hook, EnterFunctions):
                module._forward_pre_hooks[key] = EnterFunctions(
                    hook.switch,
                    {
                        function: _NoisyTap(network, layer, LayerCall("", name, originals[name], function=function))
                        for function, layer in hook.layers.items()
                        if isinstance(layer, AddNoise)
                    },
                )
    with RefuseOriginals(root):
        network.run(None, _first_rows(inputs))
    if not network.calls:
        raise LayerSelectionError("layers: got a network of which no noisy layer runs in a pass; noisify it again")
    for layer in network.other_outputs:
        network.find_other_output(layer, _first_rows(inputs))
    return network


def network_without_noise(
    model: object, inputs: Sequence[Tensor], layers: Layers, sigma: Sigma | None = None
) -> MeasuredNetwork:
    """Return a network as a measurement runs it, without noise; the channel gets the layers that match `layers`.

    Parameters
    ----------
    sigma : float, tensor, array or mapping of str to them, optional
        The noise that the measurement adds to the signals of the layers, as in `noisify`.

    Raises
    ------
    LayerSelectionError, TypeError, ValueError
        As `noisify`; the first pass fails.
    """
    root = _checked(model)
    by_key = {} if sigma is None else noise_by_key(sigma)
    chosen = choose_layers(observe_inputs(root, _first_rows(inputs), {}), layers, named=by_key, network=root)
    copied, switch = shadow(root), NoiseSwitch()
    delete_noise_hooks(copied)
    network = MeasuredNetwork(copied, adds_noise=False)
    network.switches = {switch}
    network.calls = chosen
    functions: dict[nn.Module, dict[str, _PlainTap]] = {}
    for call in {call.called: call for call in chosen}.values():
        module, tap = copied.get_submodule(call.module_name), _PlainTap(network, call.called)
        if call.function:
            functions.setdefault(module, {})[call.function] = tap
        else:
            module.register_forward_hook(tap)
    add_function_hooks(copied, switch, functions)
    if any(isinstance(noise, RelativeSigma) for noise in by_key.values()):
        network.calls = _with_root_mean_squares(network, inputs)
    noise = noise_of_layers(by_key, network.calls) if by_key else {}
    network.noise = {call.name: noise[call.name].per_unit(call.shape) for call in network.calls if by_key}
    return network


def _with_root_mean_squares(network: MeasuredNetwork, inputs: Sequence[Tensor]) -> list[LayerCall]:
    """Return the layers with their root mean squares over all inputs."""
    squares, counts = [0.0] * len(network.calls), [0] * len(network.calls)

    def add(index: int, signal: Tensor) -> Tensor:
        squares[index] += float(signal.double().square().sum())
        counts[index] += signal.numel()
        return signal

    rows = rows_per_pass(inputs)
    for batch in zip(*(torch.split(tensor, rows) for tensor in inputs), strict=True):
        network.run(add, _first_rows(batch, rows))
    return [
        dataclasses.replace(call, root_mean_square=math.sqrt(total / count) if count else math.nan)
        for call, total, count in zip(network.calls, squares, counts, strict=True)
    ]


def _checked(model: object) -> nn.Module:
    check_module(model)
    assert isinstance(model, nn.Module)
    return unwrapped(model)


def _first_rows(inputs: Sequence[Tensor], rows: int = _OBSERVED_ROWS) -> tuple[Tensor, ...]:
    """Return copies of the first rows of the inputs: a network may write into its arguments."""
    return tuple(tensor[:rows].clone() for tensor in inputs)
