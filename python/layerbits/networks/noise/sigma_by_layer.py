"""The noise that the argument `sigma` gives to each layer: a value for all, or a mapping from names and globs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerbits._base import LayerSelectionError
from layerbits.networks.noise.dropout import DropoutNoise, Noise
from layerbits.networks.noise.gaussian import Deviations, GaussianNoise, RelativeSigma, gaussian_noise
from layerbits.networks.observation.layer_calls import LayerCall
from layerbits.networks.observation.layer_selection import is_exact_name, names_matching

# The argument `sigma` for a layer, and for a network: one value for all layers, or values by names and globs.
LayerSigma = Deviations | GaussianNoise | DropoutNoise
Sigma = LayerSigma | RelativeSigma | Mapping[str, LayerSigma | RelativeSigma]

NoiseByKey = Mapping[str, Noise | RelativeSigma]


def layer_noise(sigma: LayerSigma, *, name: str = "sigma") -> Noise:
    """Return the noise of a layer: `sigma` itself if it is noise, otherwise ``gaussian_noise(sigma)``."""
    return sigma if isinstance(sigma, GaussianNoise | DropoutNoise) else gaussian_noise(sigma, name=name)


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
        return {"**": sigma if isinstance(sigma, RelativeSigma) else layer_noise(sigma)}
    if not sigma:
        raise LayerSelectionError("sigma: got an empty mapping, wanted a key for each noisy layer: its name or a glob")
    for key in sigma:
        if not isinstance(key, str):
            raise TypeError(f"sigma: got a key of {type(key).__name__}, wanted the name of a layer or a glob")
    return {
        key: value if isinstance(value, RelativeSigma) else layer_noise(value, name=f"sigma[{key!r}]")
        for key, value in sigma.items()
    }


def noise_of_layers(by_key: NoiseByKey, calls: Sequence[LayerCall]) -> dict[str, Noise]:
    """Return the noise of every layer by its name.

    Raises
    ------
    LayerSelectionError
        A layer does not have exactly one key, a key has no layer, or a key is no valid glob.
    ValueError
        The noise and the layer differ in the number of units; the noise is too small for half precision; or a relative
        sigma gives no standard deviation from 1e-37 to 1e37, for instance because the signals are zero.
    """
    noise, names_of_keys = {}, {key: names_matching(calls, key, argument="sigma") for key in by_key}
    for call in calls:
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
        noise[call.name].check_resolution(call.name, call.rounding_step)
    unused_keys = [key for key, names in names_of_keys.items() if not names]
    if unused_keys:
        raise LayerSelectionError(
            f"sigma: got the key {unused_keys[0]!r}, which matches no noisy layer, wanted keys for {', '.join(noise)}"
        )
    return noise
