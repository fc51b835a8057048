"""The noise that the argument `sigma` gives to each layer: a value for all, or a mapping from names and globs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerbits._base import LayerSelectionError
from layerbits.networks.noise.dropout import DropoutNoise, Noise
from layerbits.networks.noise.gaussian import Deviations, GaussianNoise, RelativeSigma, gaussian_noise
from layerbits.networks.observation.layer_calls import LayerCall
from layerbits.networks.observation.layer_selection import is_exact_name, names_matching

# The noise of a layer, and that of all layers, or of each layer by its name or a glob.
LayerSigma = Deviations | GaussianNoise | DropoutNoise
Sigma = LayerSigma | RelativeSigma | Mapping[str, LayerSigma | RelativeSigma]

NoiseByKey = Mapping[str, Noise | RelativeSigma]


def layer_noise(sigma: LayerSigma, *, name: str = "sigma") -> Noise:
    """Return the noise of a layer: noise as it is, other values as `gaussian_noise` does."""
    return sigma if isinstance(sigma, GaussianNoise | DropoutNoise) else gaussian_noise(sigma, name=name)


def noise_by_key(sigma: Sigma) -> dict[str, Noise | RelativeSigma]:
    """Return the noise of each key of `sigma`; a single value has the glob of all layers.

    Raises
    ------
    LayerSelectionError
        `sigma` is an empty mapping.
    TypeError, ValueError
        As `gaussian_noise`.
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
        A layer does not have exactly one key, or a key has no layer.
    ValueError
        The noise and the layer differ in the number of units; the noise is too small for half precision; or a relative
        sigma belongs to signals that are zero or not finite.
    """
    noise, matched = {}, {key: names_matching(calls, key, argument="sigma") for key in by_key}
    for call in calls:
        matching = [key for key, names in matched.items() if call.name in names]
        keys = [key for key in matching if is_exact_name(call, key)] or matching
        if len(keys) != 1:
            raise LayerSelectionError(
                f"sigma: got {' and '.join(map(repr, keys)) or 'no key'} for {call.name!r}, wanted one key for each "
                "layer"
            )
        chosen = by_key[keys[0]]
        noise[call.name] = (
            chosen.of_layer(call.name, call.root_mean_square) if isinstance(chosen, RelativeSigma) else chosen
        )
        noise[call.name].check(call.name, call.shape)
        noise[call.name].check_resolution(call.name, call.rounding_step)
    unused = [key for key, names in matched.items() if not names]
    if unused:
        raise LayerSelectionError(
            f"sigma: got the key {unused[0]!r}, which matches no noisy layer, wanted keys for {', '.join(noise)}"
        )
    return noise
