"""Noisy networks: T = S + Z with Gaussian Z at selected layers.

The noise is part of the network, in training and in evaluation; only `noise_off` turns it off. No global random
generator is read or written.

Ordinary passes use one `torch.Generator` for each device. `state_dict` holds their states, so that a resumed training
has the noise of an uninterrupted one. Measurements use counter-based streams (Philox, by seed, layer and draw), so that
their noise does not depend on how the work is divided.
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

# Maps the index of a layer and its signal to the value with which the network continues.
Channel = Callable[[int, Tensor], Tensor]


def noisify(
    model: nn.Module,
    *,
    sigma: Deviations | Mapping[str, Deviations] = 0.005,
    layers: Layers = None,
    seed: int = 0,
) -> NoisyModule:
    """Add Gaussian noise to layers of `model`, in place, and wrap it.

    Parameters
    ----------
    model : torch.nn.Module
        Any network. Its modules get forward hooks; its parameters stay in their modules.
    sigma : float, tensor, array or mapping of str to them
        A float is the standard deviation of the noise (beta in the paper, which uses 0.005). An array (d,) has the
        standard deviations of the d units of a layer, an array (d, d) their covariance, which is positive definite.
        Units are those of the flattened output. A mapping has one key for each noisy layer: its name or a glob.
    layers : None, str, type, callable or a sequence of them
        The layers that get noise. None selects every hidden activation function: every call of a module of
        `torch.nn.modules.activation` that is not the output of the network. A str is a name or a glob
        (``"features.*"``), a type selects all modules of the type, and a callable has the signature
        ``(name, module) -> bool``; these may select any module, the output too. The calls of a module in a pass are the
        layers ``name``, ``name@2``, ...
    seed : int
        Seed of the noise of ordinary passes; each device has its own generator. Processes that train one network
        together need different seeds.

    Returns
    -------
    NoisyModule

    Raises
    ------
    LayerSelectionError
        `layers` matches no layer (the message lists the layers), a noisy layer has no key or several keys in `sigma`,
        or a key matches no noisy layer. In a pass: the output of a noisy layer is not a floating-point tensor.
    TypeError, ValueError
        `model` is not a module or is already noisy, `sigma` is not positive, positive definite or finite, or `seed` is
        not an integer >= 0. In a pass: `sigma` and the layer differ in their number of units.

    Notes
    -----
    Source: Goldfeld et al., Estimating Information Flow in Deep Neural Networks (ICML 2019). In a convolutional block,
    select the layer before the pooling: a pooled noisy map is not a signal plus isotropic noise.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> noisy = lb.noisify(model, sigma=0.1)
    >>> noisy.layer_names, noisy.sigma
    (('1',), 0.1)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, wanted a torch.nn.Module")
    if is_wrapped(model):
        raise ValueError("model: got a network that is already noisy, wanted one without noise; use it as it is")
    noise_by_key, seed = _noise_by_key(sigma), check_count("seed", seed, minimum=0)
    calls = layer_calls(model)
    noise = _noise_of_layers(noise_by_key, choose_layers(calls, layers))
    return NoisyModule(model, noise, seed, calls)


def _noise_by_key(sigma: Deviations | Mapping[str, Deviations]) -> dict[str, GaussianNoise]:
    if not isinstance(sigma, Mapping):
        return {"*": gaussian_noise(sigma)}
    for key in sigma:
        if not isinstance(key, str):
            raise TypeError(f"sigma: got a key of {type(key).__name__}, wanted the name of a layer or a glob")
    return {key: gaussian_noise(value, name=f"sigma[{key!r}]") for key, value in sigma.items()}


def _noise_of_layers(by_key: Mapping[str, GaussianNoise], calls: Sequence[LayerCall]) -> dict[str, GaussianNoise]:
    """Return the noise of every layer by its name; LayerSelectionError unless each layer has exactly one key."""
    keys_of_layers = {call.name: [key for key in by_key if is_named(call, key)] for call in calls}
    for name, keys in keys_of_layers.items():
        if len(keys) != 1:
            raise LayerSelectionError(
                f"sigma: got {' and '.join(map(repr, keys)) or 'no key'} for {name!r}, wanted one key for each layer"
            )
    unused = [key for key in by_key if [key] not in keys_of_layers.values()]
    if unused:
        raise LayerSelectionError(
            f"sigma: got the key {unused[0]!r}, which matches no noisy layer, wanted keys for "
            f"{', '.join(keys_of_layers)}"
        )
    return {name: by_key[keys[0]] for name, keys in keys_of_layers.items()}


@contextlib.contextmanager
def temporarily_noisy(model: nn.Module, layers: Layers) -> Iterator[NoisyModule]:
    """Add noise to a network for a ``with`` block and remove its hooks afterwards."""
    noisy = noisify(model, layers=layers)
    try:
        yield noisy
    finally:
        for handle in noisy._handles:
            handle.remove()


class NoisyModule(nn.Module):
    """A network with Gaussian noise at selected layers, made by `noisify`.

    Copies and pickles continue independently from the same state of the noise. `state_dict` holds that state, so a
    resumed training has the noise of an uninterrupted one.

    Attributes
    ----------
    model : torch.nn.Module
        The network without the wrapper.
    noise : dict of str to GaussianNoise
        The noise of each noisy layer.
    seed : int
        Seed of the noise.
    layer_names : tuple of str
        The noisy layers, in the order of the data.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> noisy, inputs = lb.noisify(model, sigma=0.1), torch.zeros(5, 4)
    >>> torch.equal(noisy(inputs), noisy(inputs))
    False
    >>> with noisy.noise_off():
    ...     torch.equal(noisy(inputs), noisy(inputs))
    True
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
        # The handles are pickled too: unpickling a handle makes torch number later hooks above it.
        self._handles = []
        index_of_layer = {name: index for index, name in enumerate(self.layer_names)}
        for module in dict.fromkeys(call.module for call in calls if call.name in index_of_layer):
            hook = _AddNoise(self, tuple(index_of_layer.get(call.name) for call in calls if call.module is module))
            self._hooks.append(hook)
            self._handles.append(module.register_forward_hook(hook))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run `model` with its noise."""
        for hook in self._hooks:
            hook.calls = 0
        return self.model(*args, **kwargs)

    @contextlib.contextmanager
    def noise_off(self) -> Iterator[None]:
        """Turn the noise off within a ``with`` block; blocks may be nested."""
        with self.noise_replaced(lambda _, signal: signal):
            yield

    @contextlib.contextmanager
    def noise_replaced(self, channel: Channel) -> Iterator[None]:
        """Replace the noise by ``channel(index of the layer, signal)`` within a ``with`` block."""
        previous, self._channel = self._channel, channel
        try:
            yield
        finally:
            self._channel = previous

    @property
    def noise_is_on(self) -> bool:
        """Whether passes add the noise: False within `noise_off` and `noise_replaced`."""
        return self._channel is None

    @property
    def sigma(self) -> float | None:
        """Standard deviation of the noise if it is isotropic and equal at all layers; otherwise None."""
        scales = {noise.scale for noise in self.noise.values()}
        scale = scales.pop()
        return None if scales or isinstance(scale, Tensor) else scale

    def extra_repr(self) -> str:
        """Describe the noise for `print`."""
        return f"sigma={self.sigma or self.noise}, layers={list(self.layer_names)}"

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return the states of the generators by device, for `state_dict`."""
        return self._generator_states | {
            device: generator.get_state() for device, generator in self._generators.items()
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Continue from a state that `get_extra_state` returned."""
        self._generators = {}
        # A generator is made when its device is first used, because this machine may lack the device.
        self._generator_states = {device: saved.cpu() for device, saved in state.items()}

    def __getstate__(self) -> dict[str, Any]:
        # A torch.Generator cannot be pickled, but its state can. A copy made within noise_off is noisy.
        replaced = {"_generators": {}, "_generator_states": self.get_extra_state(), "_channel": None}
        return self.__dict__ | replaced

    def _add_noise(self, layer: int, signal: object) -> Tensor:
        name = self.layer_names[layer]
        if not isinstance(signal, Tensor) or not signal.is_floating_point():
            got = f"a tensor of {signal.dtype}" if isinstance(signal, Tensor) else type(signal).__name__
            raise LayerSelectionError(
                f"layers: got {name!r}, which returns {got}, wanted floating-point values; select other layers"
            )
        noise = self.noise[name]
        noise.check(name, signal)
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
                # Devices of the same kind need different noise.
                entropy = np.random.SeedSequence(self.seed, spawn_key=(device.index or 0,))
                generator.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
            self._generators[key] = generator
        return self._generators[key]


def is_wrapped(model: nn.Module) -> bool:
    """Return whether `noisify` has added noise to a network."""
    return any(isinstance(hook, _AddNoise) for module in model.modules() for hook in module._forward_hooks.values())


class _AddNoise:
    """The forward hook of a noisy module; an object, because a network with closures cannot be pickled."""

    def __init__(self, noisy: NoisyModule, layers: tuple[int | None, ...]) -> None:
        self.noisy = noisy
        self.layers = layers  # index of the layer of each call in a pass; None for a call without noise
        self.calls = 0

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: object) -> object:
        layer = self.layers[self.calls % len(self.layers)]
        self.calls += 1
        return output if layer is None else self.noisy._add_noise(layer, output)
