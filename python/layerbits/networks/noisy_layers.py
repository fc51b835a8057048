"""Noise in place: add noise to the layers of a network, change it, turn it off, and remove it.

The network stays the object, the class and the `state_dict` that it was. Noise is a forward hook of each noisy module,
so copies and pickles of the network are noisy too.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from layerbits._base import LayerSelectionError, NoNoiseError
from layerbits.networks.functional_layers import EnterFunctions, add_function_hooks
from layerbits.networks.gaussian_noise import Deviations, GaussianNoise, Sigma, gaussian_noise
from layerbits.networks.layer_calls import LayerCall, call_name, function_name, observe
from layerbits.networks.layer_selection import Layers, choose_layers, is_exact_name, matches_name
from layerbits.networks.noise_hooks import (
    AddNoise,
    NoiseHook,
    NoiseSwitch,
    PassStart,
    delete_noise_hooks,
    noise_hooks,
    switched_off,
)
from layerbits.networks.pass_arguments import call_arguments
from layerbits.networks.shadow import check_can_run, unwrapped

Model = TypeVar("Model", bound=nn.Module)
NoiseByKey = Mapping[str, GaussianNoise]


def noisify(model: Model, *, sigma: Sigma, layers: Layers = None, inputs: object = None) -> Model:
    """Add Gaussian noise to layers of a network, in place: T = S + Z in every pass, in training and in evaluation.

    Ordinary passes draw the noise from torch's own generators, as dropout does: set it by `torch.manual_seed`. A
    network that is noisy already gets this noise in place of the old one.

    Parameters
    ----------
    model : torch.nn.Module
        Any network. It stays the same object, with the same class, parameters and `state_dict`.
    sigma : float, tensor, array or mapping of str to them
        A float is the standard deviation of the noise (beta in the paper, which uses 0.005). An array (d,) has the
        standard deviations of the d units of a layer, an array (d, d) their covariance, which is positive definite.
        Units are those of the flattened output. A mapping has a key for each noisy layer: its name or a glob; an exact
        name wins over a glob.
    layers : None, str, type, callable or a sequence of them
        The layers that get noise. None selects every hidden activation function (and the layers that `sigma` names): a
        module of `torch.nn.modules.activation`, or one without parameters that acts value by value, unless it returns
        the output of the network. A str is a name or a glob (``*`` does not cross a dot, ``**`` does), a type selects
        all modules of the type, and a callable has the signature ``(name, module) -> bool``; these may select any
        module, the output too. The calls of a module in a pass are the layers ``name``, ``name@2``, ..., and
        ``name@*`` is all of them.
    inputs : tensor, array, tuple or mapping, optional
        Arguments of a pass in which the layers are observed now: one argument, positional arguments, or arguments by
        name. Without it, the first call of the network is preceded by such a pass on its arguments.

    Returns
    -------
    torch.nn.Module
        `model` itself.

    Raises
    ------
    LayerSelectionError
        `layers` matches no layer (the message lists the layers), a noisy layer has no key or several keys in `sigma`,
        or a key matches no noisy layer. In a pass: the output of a noisy layer has no floating-point tensor.
    TypeError, ValueError
        `model` is not a module, is a TorchScript module or is sharded; `sigma` is not positive, positive definite or
        finite, or differs from the layer in the number of units. Without `inputs`, the errors that need observed layers
        come from the first call.

    Notes
    -----
    Source: Goldfeld et al., Estimating Information Flow in Deep Neural Networks (ICML 2019). In a convolutional block,
    select the layer before the pooling: a pooled noisy map is not a signal plus isotropic noise.

    If all calls of a module that `inputs` shows have the same noise, every call has it.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> noisy = lb.noisify(model, sigma=0.1, inputs=torch.zeros(1, 4))
    >>> noisy is model, dict(lb.noise_of(model))
    (True, {'1': 0.1})
    """
    check_module(model)
    root = unwrapped(model)
    check_can_run(root)
    waiting = WaitingNoise(root, noise_by_key(sigma), layers)
    if inputs is not None:
        args, kwargs = call_arguments(inputs, root)
        waiting.observe(args, kwargs)
    else:
        remove_noise(root)
        waiting.handle = root.register_forward_pre_hook(waiting, with_kwargs=True)
    return model


def remove_noise(model: Model) -> Model:
    """Remove the noise from a network, in place, and return the network.

    Raises
    ------
    TypeError
        `model` is not a module.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> inputs = torch.zeros(5, 4)
    >>> model = lb.remove_noise(lb.noisify(model, sigma=0.1, inputs=inputs))
    >>> torch.equal(model(inputs), model(inputs))
    True
    """
    check_module(model)
    delete_noise_hooks(model)
    _compile_again()
    return model


@contextlib.contextmanager
def noise_off(model: nn.Module) -> Iterator[None]:
    """Turn the noise of a network off within a ``with`` block, in the thread or task that runs it.

    Blocks may be nested and may overlap. Copies made within the block are noisy.

    Raises
    ------
    TypeError
        `model` is not a module.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> inputs = torch.zeros(5, 4)
    >>> noisy = lb.noisify(model, sigma=0.1, inputs=inputs)
    >>> with lb.noise_off(noisy):
    ...     torch.equal(noisy(inputs), noisy(inputs))
    True
    """
    check_module(model)
    with switched_off({hook.switch for hook in noise_hooks(model)}):
        yield


def noise_of(model: nn.Module) -> LayerNoise:
    """Return the noise of each noisy layer, by its name, in the order of the data; it can be set.

    Returns
    -------
    LayerNoise
        A mapping from names of layers to noise. ``noise_of(model)["fc1"] = 0.2`` changes the noise of a layer: the
        value is a float, an array (d,) or (d, d) as in `noisify`.

    Raises
    ------
    NoNoiseError
        The network has no noise.
    ValueError
        The layers are observed in the first call, which is still to come.
    TypeError
        `model` is not a module.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> noise = lb.noise_of(lb.noisify(model, sigma=0.1, inputs=torch.zeros(1, 4)))
    >>> noise["1"] = 0.2
    >>> noise["1"].sigma
    0.2
    """
    check_module(model)
    root = unwrapped(model)
    if waiting_noise(root):
        raise ValueError(
            "model: got a network whose layers are observed in its first call, wanted one whose layers are known; "
            "run it once, or pass inputs= to noisify"
        )
    noise = LayerNoise(root)
    if not noise:
        raise NoNoiseError(f"model: got {type(model).__name__} without noise, wanted a network from layerbits.noisify")
    return noise


class LayerNoise(Mapping[str, GaussianNoise]):
    """The noise of the noisy layers of a network, made by `noise_of`."""

    def __init__(self, model: nn.Module) -> None:
        self._hooks = {
            function_name(name, function) if function else name: hook
            for name, module in model.named_modules()
            for function, hook in hooks_of_layers(module).items()
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
        _compile_again()

    def __repr__(self) -> str:
        return repr(dict(self))

    def _find(self, layer: str) -> tuple[AddNoise, int]:
        if layer not in list(self):
            raise KeyError(f"layer: got {layer!r}, wanted one of {', '.join(self)}")
        name, _, number = layer.rpartition("@")
        return (self._hooks[name], int(number) - 1) if layer not in self._hooks else (self._hooks[layer], 0)


class WaitingNoise(NoiseHook):
    """A forward pre-hook that observes the layers in the first call of a network and gives them their noise."""

    def __init__(self, root: nn.Module, noise: NoiseByKey, layers: Layers) -> None:
        super().__init__(NoiseSwitch())
        self.root, self.noise, self.layers = root, noise, layers

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Observe the layers in a pass with the arguments of the first call."""
        if torch.compiler.is_compiling() or module is not self.root:
            raise RuntimeError(
                "model: got a compiled or replicated network whose layers have not been observed; pass inputs= to "
                "noisify, or call the network once before"
            )
        self.observe(args, kwargs)
        # torch has already listed the pre-hooks of this call, without those that observe() has just added.
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, PassStart | EnterFunctions):
                hook(module, args)

    def observe(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Observe the layers in a pass with these arguments, and give them their noise in place of any other."""
        calls = observe(self.root, args, kwargs)
        chosen = choose_layers(calls, self.layers, named=self.noise)
        noise = noise_of_layers(self.noise, chosen)
        remove_noise(self.root)
        functions: dict[nn.Module, dict[str, AddNoise]] = {}
        for called in dict.fromkeys(call.called for call in chosen):
            numbered = [(position, call) for position, call in enumerate(calls) if call.called == called]
            hook = AddNoise(
                self.switch,
                called,
                tuple(noise.get(call.name) for _, call in numbered),
                tuple(position for position, _ in numbered),
            )
            module, function = numbered[0][1].module, numbered[0][1].function
            if function:
                functions.setdefault(module, {})[function] = hook
            else:
                hook.handle = module.register_forward_hook(hook)
        for module, layers in functions.items():
            add_function_hooks(module, self.switch, layers)
        start = PassStart(self.switch)
        start.handle = self.root.register_forward_pre_hook(start)


def check_module(model: object) -> None:
    """Raise a TypeError unless `model` is a network."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, wanted a torch.nn.Module")


def hooks_of_layers(module: nn.Module) -> dict[str, AddNoise]:
    """Return the hooks that add noise to functions that a module calls, by their names, and to its output, by ""."""
    layers: dict[str, AddNoise] = {}
    for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
        if isinstance(hook, AddNoise):
            layers[""] = hook
        elif isinstance(hook, EnterFunctions):
            layers |= {name: layer for name, layer in hook.layers.items() if isinstance(layer, AddNoise)}
    return layers


def waiting_noise(model: nn.Module) -> list[WaitingNoise]:
    """Return the noise of a network, and of modules inside it, that waits for the first call."""
    return [hook for hook in noise_hooks(model) if isinstance(hook, WaitingNoise)]


def _compile_again() -> None:
    """Make compiled networks compile again in their next call: compiled code does not look for changed hooks."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


def noise_by_key(sigma: Sigma) -> dict[str, GaussianNoise]:
    """Return the noise of each key of `sigma`; a single value has the glob of all layers.

    Raises
    ------
    TypeError, ValueError
        As `gaussian_noise`.
    """
    if not isinstance(sigma, Mapping):
        return {"**": gaussian_noise(sigma)}
    for key in sigma:
        if not isinstance(key, str):
            raise TypeError(f"sigma: got a key of {type(key).__name__}, wanted the name of a layer or a glob")
    return {key: gaussian_noise(value, name=f"sigma[{key!r}]") for key, value in sigma.items()}


def noise_of_layers(by_key: NoiseByKey, calls: list[LayerCall]) -> dict[str, GaussianNoise]:
    """Return the noise of every layer by its name.

    Raises
    ------
    LayerSelectionError
        A layer does not have exactly one key, or a key has no layer.
    ValueError
        The noise and the layer differ in the number of units.
    """
    noise, used = {}, set()
    for call in calls:
        exact = [key for key in by_key if is_exact_name(call, key)]
        keys = exact or [key for key in by_key if matches_name(call, key)]
        if len(keys) != 1:
            raise LayerSelectionError(
                f"sigma: got {' and '.join(map(repr, keys)) or 'no key'} for {call.name!r}, wanted one key for each "
                "layer"
            )
        noise[call.name] = by_key[keys[0]]
        noise[call.name].check(call.name, call.shape)
        used |= {key for key in by_key if matches_name(call, key)}
    unused = [key for key in by_key if key not in used]
    if unused:
        raise LayerSelectionError(
            f"sigma: got the key {unused[0]!r}, which matches no noisy layer, wanted keys for {', '.join(noise)}"
        )
    return noise
