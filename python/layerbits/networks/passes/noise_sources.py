"""`noise_sources`: the layers whose noises act on the signal of a layer."""

from __future__ import annotations

from layerbits.networks.observation.sources import Source
from layerbits.networks.passes.measured_network import MeasuredNetwork


def noise_sources(network: MeasuredNetwork, layer: str, without: str = "") -> tuple[str, ...]:
    """Return the layers whose noises act on the signal of a layer, in the order of the data.

    `without` names a layer whose noisy value is given: paths through it do not count.

    Raises
    ------
    ValueError
        It is not known which noises act on the layer, or none does; or random numbers of the network act on it.
    """
    graph = network.dependence
    if graph.unknown:
        reason = f"of a network that {graph.unknown}"
    else:
        origins = graph.origins(layer, without)
        if any(source.kind == "random" for source in origins):
            reason = "on which random numbers of the network itself act"
        else:
            sources = tuple(name for name in network.layer_names if Source("layer", name) in origins)
            if network.adds_noise and sources:
                return sources
            reason = "which lies behind no noise"
    raise ValueError(
        f"layers: got {layer!r} {reason}, wanted a layer on which the noise of known layers acts, and no other "
        "randomness; choose another estimator"
    )
