"""`LayerNoise`: a mapping from the names of a network's noisy layers to their noise, which can be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn

from torch import nn

from layerbits._base import listed
from layerbits.networks.execution.compilation import compile_again
from layerbits.networks.execution.shadow import modules_by_name
from layerbits.networks.noise.add_noise import AddNoise
from layerbits.networks.noise.dropout import DropoutNoise, Noise
from layerbits.networks.noise.function_hooks import EnterFunctions
from layerbits.networks.noise.gaussian import Deviations
from layerbits.networks.noise.relative import RelativeSigma
from layerbits.networks.noise.sigma_by_layer import layer_noise
from layerbits.networks.observation.layer_calls import LayerCall, call_name, name_called


class LayerNoise(Mapping[str, Noise]):
    """The noise of the noisy layers of a network, made by `noise_of`.

    The mapping follows the network: after another `noisify` it has the new noise, and after `remove_noise` it is empty.
    It lists the calls of the observed pass. If all observed calls of a module have the same noise, further calls get
    that noise too: their names can be read, but they cannot be set. Another name than that of a noisy layer raises a
    KeyError, and a value for another number of units than observed raises a ValueError.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls())

    def __len__(self) -> int:
        return len(self._calls())

    def __getitem__(self, layer: str) -> Noise:
        hook, index = self._find(layer)
        noise = hook.noise[0 if hook.is_uniform else index]
        assert noise is not None
        return noise

    def __setitem__(self, layer: str, sigma: Deviations | DropoutNoise) -> None:
        hook, index = self._find(layer)
        if isinstance(sigma, RelativeSigma):
            raise TypeError(
                f"sigma[{layer!r}]: got a RelativeSigma, which needs a pass, wanted a number, a tensor, an array or a "
                f"DropoutNoise; or noisify(model, sigma={{**noise_of(model), {layer!r}: {sigma}}}, "
                "layers=list(noise_of(model)), inputs=...)"
            )
        noise = layer_noise(sigma, name=f"sigma[{layer!r}]")
        if index >= len(hook.noise):
            raise KeyError(
                f"layer: got {layer!r}, wanted one of the {len(hook.noise)} calls of {hook.name!r} that were observed; "
                "set these, or noisify again with inputs that run more calls"
            )
        noise.check(layer, hook.calls[index].shape)
        hook.set_noise((*hook.noise[:index], noise, *hook.noise[index + 1 :]))
        compile_again()

    def __delitem__(self, layer: str) -> NoReturn:
        raise TypeError(
            f"layer: got {layer!r} to delete, wanted a change of noise; call noisify again with the layers that keep "
            "their noise, turn the noise off by noise_off, or remove all noise by remove_noise"
        )

    def is_noisy(self, call: LayerCall) -> bool:
        """Return whether a call of the network has noise."""
        hook = _hooks_of_layers(call.module).get(call.function)
        return hook is not None and hook.is_noisy_call(call.number)

    def __repr__(self) -> str:
        return repr(dict(self))

    def _calls(self) -> dict[str, tuple[AddNoise, int]]:
        """Return the hook of each noisy call and the index of the call in its `noise`, by the name of the layer."""
        calls = [
            (call.position, number, name_called(name, module, function), hook)
            for name, module in modules_by_name(self._model).items()
            for function, hook in _hooks_of_layers(module).items()
            for number, (call, noise) in enumerate(zip(hook.calls, hook.noise, strict=True), start=1)
            if noise is not None
        ]
        in_order = sorted(calls, key=lambda call: (call[0], call_name(call[2], call[1])))
        return {call_name(name, number): (hook, number - 1) for _, number, name, hook in in_order}

    def _find(self, layer: str) -> tuple[AddNoise, int]:
        """Return the hook of a noisy call, and the index of the call, which may exceed those of the observed calls."""
        calls = self._calls()
        name = layer.removesuffix("@1") if isinstance(layer, str) and layer not in calls else layer
        if name not in calls:
            called, _, number = layer.rpartition("@") if isinstance(layer, str) else ("", "", "")
            if called in calls and calls[called][0].is_uniform and number.isdecimal() and int(number) > 0:
                return calls[called][0], int(number) - 1
            wanted = f"one of {listed(calls)}" if calls else "a layer of a network with noise"
            raise KeyError(f"layer: got {layer!r}, wanted {wanted}")
        return calls[name]


def _hooks_of_layers(module: nn.Module) -> dict[str, AddNoise]:
    """Return the hooks that add noise in a module, by the name of the function; "" is the module's own output."""
    layers: dict[str, AddNoise] = {}
    for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
        if isinstance(hook, AddNoise):
            layers[""] = hook
        elif isinstance(hook, EnterFunctions):
            layers |= {name: layer for name, layer in hook.layers.items() if isinstance(layer, AddNoise)}
    return layers
