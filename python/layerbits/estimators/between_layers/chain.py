"""Two layers of a network, and a test of whether they are a chain: the input acts on T_l through T_k alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from layerbits._base import Integers, LayerSelectionError
from layerbits.kernels import RandomStream, as_floats, stream
from layerbits.mixtures import NEGLIGIBLE
from layerbits.networks import (
    MAX_MEMORY,
    GaussianNoise,
    Inputs,
    MeasuredNetwork,
    Passes,
    check_module,
    check_rows,
    noisy_network,
    read_inputs,
    record,
)


@dataclasses.dataclass(frozen=True)
class LayerPair:
    """Layers `first` and `second` of a noisy network, in the order of the data; made by `LayerPair.of`."""

    network: MeasuredNetwork
    inputs: tuple[Tensor, ...]
    first: str
    second: str

    @classmethod
    def of(cls, model: nn.Module, inputs: Inputs, first: str, second: str, max_memory: int = MAX_MEMORY) -> LayerPair:
        """Check the arguments of `information_between_layers` and return the pair."""
        check_module(model)
        data = read_inputs(inputs, model)
        network = noisy_network(model, data, max_memory=max_memory)
        first, second = _noisy_layer("first", first, network), _noisy_layer("second", second, network)
        if first == second:
            raise ValueError(f"second: got {second!r}, as for `first`, wanted a later layer: I(T;T) is infinite")
        if network.layer_names.index(second) < network.layer_names.index(first):
            raise ValueError(f"first: got {first!r}, wanted a layer before {second!r}; swap them: I is symmetric")
        network.gaussian_noise("second", second)
        check_rows(network, data.tensors, (second,))
        return cls(network, data.tensors, first, second)

    @property
    def n_inputs(self) -> int:
        """Number n of values of X."""
        return len(self.inputs[0])

    @property
    def are_neighbours(self) -> bool:
        """Whether no noisy layer lies between the two."""
        names = self.network.layer_names
        return names.index(self.second) == names.index(self.first) + 1

    @property
    def noise(self) -> GaussianNoise:
        """The noise of the second layer."""
        return self.network.gaussian_noise("second", self.second)

    def signals(self, inputs: Sequence[Tensor], passes: Passes) -> Tensor:
        """Return the whitened signals (n, r, d) of the second layer; `passes` must record it."""
        signals = record(self.network, inputs, passes)[self.second]
        return self.noise.whiten(as_floats(f"signals of layer {self.second!r}", signals))


def _noisy_layer(argument: str, layer: object, network: MeasuredNetwork) -> str:
    if layer not in network.layer_names:
        raise LayerSelectionError(
            f"{argument}: got {layer!r}, wanted the name of a noisy layer: {', '.join(network.layer_names)}"
        )
    return str(layer)


def check_chain(pair: LayerPair, seed: int) -> None:
    """Raise a ValueError unless the input acts on the second layer through the first alone.

    The signals of the second layer are recorded twice, with the same values of the first layer and the same later
    noise; the second time the inputs are permuted, and the earlier layers emit zeros. In a chain only rounding
    changes. A change of mean square r^2 carries at most r^2 / (2 sigma^2) nats, the capacity of a Gaussian channel of
    that power. A negligible capacity counts as rounding.
    """
    names = pair.network.layer_names
    upstream = names[: names.index(pair.first) + 1]
    plain = record(pair.network, pair.inputs, Passes(upstream, range(1), seed))
    emitted = {pair.first: plain[pair.first][:, 0]}
    zeros = {layer: 0 * plain[layer][:, 0] for layer in upstream[:-1]}
    permuted_inputs = rows_of(pair.inputs, _derangement(pair.n_inputs, stream(seed, RandomStream.PERMUTED_INPUTS)))
    change = _signal(pair, permuted_inputs, emitted | zeros, seed) - _signal(pair, pair.inputs, emitted, seed)
    if float(change.square().sum(-1).mean()) / (2 * pair.noise.whitened_sigma**2) > NEGLIGIBLE:
        raise ValueError(
            f"first: got {pair.first!r}, but the input acts on {pair.second!r} by another path too, such as a skip "
            "connection; wanted a layer through which every path goes"
        )


def _signal(pair: LayerPair, inputs: Sequence[Tensor], emitted: Mapping[str, Tensor], seed: int) -> Tensor:
    return pair.signals(inputs, Passes((pair.second,), range(1), seed, emitted=emitted)).double()


def rows_of(inputs: Sequence[Tensor], rows: Integers) -> tuple[Tensor, ...]:
    """Return the chosen rows of every argument of the network."""
    return tuple(tensor[rows] for tensor in inputs)


def _derangement(n: int, generator: np.random.Generator) -> Integers:
    """Return a random permutation without fixed points, if n > 1; a plain permutation of few rows often has them."""
    order = generator.permutation(n)
    permutation = np.empty_like(order)
    permutation[order] = np.roll(order, 1)
    return permutation
