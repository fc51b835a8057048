"""The noise of the layers of a noisy network, by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from layerbits.networks.functional_layers import EnterFunctions
from layerbits.networks.gaussian_noise import Deviations, GaussianNoise, gaussian_noise
from layerbits.networks.layer_calls import LayerCall, call_name, function_name
from layerbits.networks.noise_hooks import AddNoise, compile_again


class LayerNoise(Mapping[str, GaussianNoise]):
    """The noise of the noisy layers of a network, made by `noise_of`."""

    def __init__(self, model: nn.Module) -> None:
        self._hooks = {
            function_name(name, function) if function else name: hook
            for name, module in model.named_modules()
            for function, hook in _hooks_of_layers(module).items()
        }

    def __iter__(self) -> Iterator[str]:
        calls = [
            (position, call_name(name, number))
            for name, hook in self._hooks.items()
            for number, (position, noise) in enumerate(zip(hook.positions, hook.noise, strict=True), start=1)
            if noise is not None
        ]
        return iter([name for _, name in sorted(calls)])

    def __len__(self) -> int:
        return sum(noise is not None for hook in self._hooks.values() for noise in hook.noise)

    def __getitem__(self, layer: str) -> GaussianNoise:
        hook, index = self._find(layer)
        noise = hook.noise[index]
        assert noise is not None
        return noise

    def __setitem__(self, layer: str, sigma: Deviations) -> None:
        hook, index = self._find(layer)
        noise = gaussian_noise(sigma, name=f"sigma[{layer!r}]")
        hook.noise = (*hook.noise[:index], noise, *hook.noise[index + 1 :])
        compile_again()

    def is_noisy(self, call: LayerCall) -> bool:
        """Return whether a call of the network has noise."""
        return call.called in self._hooks and self._hooks[call.called].is_noisy_call(call.number)

    def __repr__(self) -> str:
        return repr(dict(self))

    def _find(self, layer: str) -> tuple[AddNoise, int]:
        if layer not in list(self):
            raise KeyError(f"layer: got {layer!r}, wanted one of {', '.join(self)}")
        name, _, number = layer.rpartition("@")
        return (self._hooks[name], int(number) - 1) if layer not in self._hooks else (self._hooks[layer], 0)


def _hooks_of_layers(module: nn.Module) -> dict[str, AddNoise]:
    """Return the hooks that add noise to functions that a module calls, by their names, and to its output, by ""."""
    layers: dict[str, AddNoise] = {}
    for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
        if isinstance(hook, AddNoise):
            layers[""] = hook
        elif isinstance(hook, EnterFunctions):
            layers |= {name: layer for name, layer in hook.layers.items() if isinstance(layer, AddNoise)}
    return layers
