"""The noise that the argument `sigma` gives to each layer: a value for all, or a mapping from names and globs."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from layerbits._base import LayerSelectionError, listed
from layerbits.networks.execution.output_tensor import check_has_signal
from layerbits.networks.noise.dropout import DropoutNoise, Noise
from layerbits.networks.noise.gaussian import Deviations, GaussianNoise, gaussian_noise
from layerbits.networks.noise.relative import RelativeSigma
from layerbits.networks.observation.layer_calls import LayerCall
from layerbits.networks.observation.layer_selection import is_exact_name, names_matching

# The argument `sigma` for a layer, and for a network: one value for all layers, or values by names and globs.
LayerSigma = Deviations | GaussianNoise | DropoutNoise
Sigma = LayerSigma | RelativeSigma | Mapping[str, LayerSigma | RelativeSigma]

# The end of the list of types that `sigma` of a network may have.
_OTHERS = ", a DropoutNoise, a RelativeSigma, or a mapping from layers to them"

NoiseByKey = Mapping[str, Noise | RelativeSigma]


def layer_noise(sigma: LayerSigma, *, name: str = "sigma", others: str = " or a DropoutNoise") -> Noise:
    """Return the noise of a layer: `sigma` itself if it is noise, otherwise ``gaussian_noise(sigma)``.

    `others` ends the list of accepted types in errors.

    Raises
    ------
    TypeError, ValueError
        As `gaussian_noise`.
    """
    if isinstance(sigma, GaussianNoise | DropoutNoise):
        return sigma
    if isinstance(sigma, bool) or not isinstance(sigma, numbers.Real | Tensor | np.ndarray | list | tuple):
        got = f"the class {sigma.__name__}" if isinstance(sigma, type) else type(sigma).__name__
        raise TypeError(f"{name}: got {got}, wanted a positive number, a tensor, an array{others}")
    return gaussian_noise(sigma, name=name)


def noise_by_key(sigma: Sigma) -> dict[str, Noise | RelativeSigma]:
    """Return the noise of each key of `sigma`; a single value has the key ``**``, the glob of all layers.

    Raises
    ------
    LayerSelectionError
        `sigma` is an empty mapping.
    TypeError, ValueError
        As `gaussian_noise`; or a key is not a str.
    """
    if not isinstance(sigma, Mapping):
        return {"**": sigma if isinstance(sigma, RelativeSigma) else layer_noise(sigma, others=_OTHERS)}
    if not sigma:
        raise LayerSelectionError("sigma: got an empty mapping, wanted a key for each noisy layer: its name or a glob")
    for key in sigma:
        if not isinstance(key, str):
            raise TypeError(f"sigma: got a key of {type(key).__name__}, wanted the name of a layer or a glob")
    return {
        key: value
        if isinstance(value, RelativeSigma)
        else layer_noise(value, name=f"sigma[{key!r}]", others=", a DropoutNoise or a RelativeSigma")
        for key, value in sigma.items()
    }


def noise_of_layers(by_key: NoiseByKey, calls: Sequence[LayerCall]) -> dict[str, Noise]:
    """Return the noise of every layer by its name.

    Raises
    ------
    LayerSelectionError
        A layer does not have exactly one key or has no signal; a key has no layer or is no valid glob.
    ValueError
        The noise and the layer differ in the number of units; the noise is too small for half precision; or a relative
        sigma gives no standard deviation from 1e-37 to 1e37, for instance because the signals are zero.
    """
    noise, names_of_keys = {}, {key: names_matching(calls, key, argument="sigma") for key in by_key}
    for call in calls:
        check_has_signal(call.name, call.no_signal)
        matching = [key for key, names in names_of_keys.items() if call.name in names]
        keys = [key for key in matching if is_exact_name(call, key)] or matching
        if len(keys) != 1:
            raise LayerSelectionError(
                f"sigma: got {' and '.join(map(repr, keys)) or 'no key'} for {call.name!r}, wanted one key for each "
                "noisy layer: its name or a glob"
            )
        sigma = by_key[keys[0]]
        noise[call.name] = (
            sigma.of_layer(call.name, call.root_mean_square) if isinstance(sigma, RelativeSigma) else sigma
        )
        noise[call.name].check(call.name, call.shape)
        noise[call.name].check_resolution(call.name, call.rounding_step, call.dtype)
    unused_keys = [key for key, names in names_of_keys.items() if not names]
    if unused_keys:
        raise LayerSelectionError(
            f"sigma: got the key {unused_keys[0]!r}, which matches no noisy layer, wanted keys for {listed(noise)}"
        )
    return noise
