"""Noisy networks: T = S + Z with Gaussian Z at chosen layers.

The noise is part of the network, in training and in evaluation alike; only `noise_off` silences it. No global random
generator is read or written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layerbits._base import LayerSelectionError, check_count
from layerbits.networks.gaussian_noise import Deviations, GaussianNoise, gaussian_noise
from layerbits.networks.layer_selection import LayerCall, Layers, choose_layers, is_named, layer_calls

# Takes the index of a layer and its signal, gives what the network goes on with.
Channel = Callable[[int, Tensor], Tensor]


def noisify(
    model: nn.Module,
    *,
    sigma: Deviations | Mapping[str, Deviations] = 0.005,
    layers: Layers = None,
    seed: int = 0,
) -> NoisyModule:
    """Give layers of `model` additive Gaussian noise, in place, and wrap it.

    Parameters
    ----------
    model : torch.nn.Module
        Any network. Its modules get forward hooks; its parameters stay where they are.
    sigma : float, tensor, array or mapping of str to them
        A float is the standard deviation of the noise (beta in the paper, which uses 0.005). Of shape (d,): the
        standard deviations of the d units of a layer. Of shape (d, d): their covariance, positive definite. Units are
        those of the flattened output. A mapping has a key for each noisy layer, its name or a glob.
    layers : None, str, type, callable or a sequence of them
        The layers whose output gets noise. None: every hidden activation, that is every call of a module of
        `torch.nn.modules.activation` that is not the network's output. A str is a name or a glob (``"features.*"``); a
        type stands for all modules of it; a callable ``(name, module) -> bool`` chooses. Named so, any module will do,
        the output too. A module called several times in a pass gives the layers ``name``, ``name@2``, ...
    seed : int
        Seed of the noise of ordinary passes, which has a generator of its own on every device. Processes that train
        one network together need seeds of their own.

    Returns
    -------
    NoisyModule

    Raises
    ------
    LayerSelectionError
        `layers` matches nothing; the message lists the layers. A noisy layer has no key in `sigma` or several, or a key
        no noisy layer. In a pass: a chosen output is no floating-point tensor.
    TypeError, ValueError
        `model` is no module or is noisy already; `sigma` is not positive, not positive definite, or not finite; `seed`
        is no integer >= 0. In a pass: `sigma` is of another number of units than the layer.

    Notes
    -----
    Source: Goldfeld et al., Estimating Information Flow in Deep Neural Networks (ICML 2019). In a convolution block,
    name the layer before the pooling: a pooled map is not a signal plus isotropic noise.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, wanted a torch.nn.Module")
    if any(isinstance(hook, _AddNoise) for module in model.modules() for hook in module._forward_hooks.values()):
        raise ValueError("model: got a network that is noisy already; use it as it is, or noisify one without noise")
    by_key, number = _noise_by_key(sigma), check_count("seed", seed, minimum=0)
    calls = layer_calls(model)
    chosen = choose_layers(calls, layers)
    return NoisyModule(model, _noise_of_layers(by_key, chosen), number, calls)


def _noise_by_key(sigma: Deviations | Mapping[str, Deviations]) -> dict[str, GaussianNoise]:
    if not isinstance(sigma, Mapping):
        return {"*": gaussian_noise(sigma)}
    for key in sigma:
        if not isinstance(key, str):
            raise TypeError(f"sigma: got a key of {type(key).__name__}, wanted the name of a layer or a glob")
    return {key: gaussian_noise(one, name=f"sigma[{key!r}]") for key, one in sigma.items()}


def _noise_of_layers(by_key: Mapping[str, GaussianNoise], calls: Sequence[LayerCall]) -> dict[str, GaussianNoise]:
    """Return the noise of every layer by its name; LayerSelectionError unless keys and layers fit."""
    keys = {call.name: [key for key in by_key if is_named(call, key)] for call in calls}
    for name, found in keys.items():
        if len(found) != 1:
            raise LayerSelectionError(
                f"sigma: {name!r} has {' and '.join(map(repr, found)) or 'no key'}, wanted one key for each noisy layer"
            )
    unused = [key for key in by_key if [key] not in keys.values()]
    if unused:
        raise LayerSelectionError(
            f"sigma: {unused[0]!r} matches no noisy layer, wanted keys for these: {', '.join(keys)}"
        )
    return {name: by_key[found[0]] for name, found in keys.items()}


@contextlib.contextmanager
def noisy_for_now(model: nn.Module, layers: Layers) -> Iterator[NoisyModule]:
    """Noisify a network for a ``with`` block, and take its hooks off again."""
    noisy = noisify(model, layers=layers)
    try:
        yield noisy
    finally:
        for handle in noisy._handles:
            handle.remove()


class NoisyModule(nn.Module):
    """A network with Gaussian noise at some of its layers; made by `noisify`.

    Copies and pickles go on independently from the same state of the noise, and `state_dict` holds that state, so a
    resumed training meets the noise that an uninterrupted one would have met.

    Attributes
    ----------
    model : torch.nn.Module
        The network that was given.
    noise : dict of str to GaussianNoise
        The noise of each noisy layer.
    seed : int
        Seed of the noise.
    layer_names : tuple of str
        The noisy layers, in the order data meets them.
    """

    def __init__(
        self, model: nn.Module, noise: Mapping[str, GaussianNoise], seed: int, calls: Sequence[LayerCall]
    ) -> None:
        super().__init__()
        self.model = model
        self.noise = dict(noise)
        self.seed = seed
        self.layer_names = tuple(noise)
        self._channel: Channel | None = None
        self._generators: dict[str, torch.Generator] = {}
        self._generator_states: dict[str, Tensor] = {}
        self._hooks: list[_AddNoise] = []
        # Kept because unpickling a handle makes torch number later hooks past ours.
        self._handles = []
        index = {name: place for place, name in enumerate(self.layer_names)}
        for module in dict.fromkeys(call.module for call in calls if call.name in index):
            hook = _AddNoise(self, tuple(index.get(call.name) for call in calls if call.module is module))
            self._hooks.append(hook)
            self._handles.append(module.register_forward_hook(hook))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run `model` with its noise."""
        for hook in self._hooks:
            hook.calls = 0
        return self.model(*args, **kwargs)

    @contextlib.contextmanager
    def noise_off(self) -> Iterator[None]:
        """Silence the noise within a ``with`` block; blocks may be nested."""
        with self.noise_replaced(lambda _, signal: signal):
            yield

    @contextlib.contextmanager
    def noise_replaced(self, channel: Channel) -> Iterator[None]:
        """Let ``channel(index of the layer, signal)`` stand in for the noise within a ``with`` block."""
        before, self._channel = self._channel, channel
        try:
            yield
        finally:
            self._channel = before

    @property
    def noise_is_on(self) -> bool:
        """False within `noise_off` and `noise_replaced`."""
        return self._channel is None

    @property
    def sigma(self) -> float | None:
        """Standard deviation of the noise, where it is isotropic and the same at all layers; otherwise None."""
        scales = {noise.scale for noise in self.noise.values()}
        scale = scales.pop()
        return None if scales or isinstance(scale, Tensor) else scale

    def extra_repr(self) -> str:
        """Describe the noise for `print`."""
        return f"sigma={self.sigma or self.noise}, layers={list(self.layer_names)}"

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return the state of the noise, by device, for `state_dict`."""
        return self._generator_states | {device: made.get_state() for device, made in self._generators.items()}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Go on from a state that `get_extra_state` returned."""
        self._generators = {}
        # Kept as tensors until their device is used: it need not exist on this machine.
        self._generator_states = {device: saved.cpu() for device, saved in state.items()}

    def __getstate__(self) -> dict[str, Any]:
        # A torch.Generator cannot be pickled, its state can; a copy made within noise_off has its noise on.
        changed = {"_generators": {}, "_generator_states": self.get_extra_state(), "_channel": None}
        return self.__dict__ | changed

    def _emit(self, layer: int, signal: object) -> Tensor:
        if not isinstance(signal, Tensor) or not signal.is_floating_point():
            got = f"a tensor of {signal.dtype}" if isinstance(signal, Tensor) else type(signal).__name__
            raise LayerSelectionError(
                f"layers: {self.layer_names[layer]!r} returns {got}, wanted floating-point values; choose other layers"
            )
        noise = self.noise[self.layer_names[layer]]
        noise.check(self.layer_names[layer], signal)
        if self._channel is not None:
            return self._channel(layer, signal)
        generator = self._generator(signal.device)
        normal = torch.randn(signal.shape, generator=generator, dtype=signal.dtype, device=signal.device)
        return noise.add(signal, normal)

    def _generator(self, device: torch.device) -> torch.Generator:
        key = str(device)
        if key not in self._generators:
            generator = torch.Generator(device)
            if key in self._generator_states:
                generator.set_state(self._generator_states.pop(key))
            else:
                # Two devices of one kind must not draw the same noise.
                entropy = np.random.SeedSequence(self.seed, spawn_key=(device.index or 0,))
                generator.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
            self._generators[key] = generator
        return self._generators[key]


class _AddNoise:
    """The forward hook of a noisy module: an object, not a closure, so that the network can be pickled and copied."""

    def __init__(self, noisy: NoisyModule, layers: tuple[int | None, ...]) -> None:
        self.noisy = noisy
        self.layers = layers  # the layer of each call in a pass, None for a call without noise
        self.calls = 0

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        layer = self.layers[self.calls % len(self.layers)]
        self.calls += 1
        return output if layer is None else self.noisy._emit(layer, output)
