"""Two layers of a network that are a chain: the input acts on T_l through T_k alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor, nn

from layerbits._base import Integers, LayerSelectionError, listed, shown_repr
from layerbits.kernels import NO_WORKERS, Workers, as_floats
from layerbits.networks import (
    INPUT,
    DependenceGraph,
    DropoutNoise,
    MeasuredNetwork,
    Noise,
    Passes,
    PassInputs,
    check_can_have_noise,
    check_rows,
    noisy_network,
    record,
)


@dataclasses.dataclass(frozen=True)
class LayerPair:
    """Layers `first` and `second` of a noisy network, in the order of the data; made by `LayerPair.of`."""

    network: MeasuredNetwork
    inputs: tuple[Tensor, ...]
    first: str
    second: str
    workers: Workers = NO_WORKERS

    @classmethod
    def of(
        cls, model: nn.Module, data: PassInputs, layers: tuple[object, object], max_memory: int, workers: Workers
    ) -> LayerPair:
        """Check the arguments of `information_between_layers` and return the pair.

        Raises
        ------
        ValueError
            The layers are no chain, or it is not known whether they are one.
        """
        check_can_have_noise(model)
        network = noisy_network(model, data, max_memory=max_memory)
        first, second = _noisy_layer("first", layers[0], network), _noisy_layer("second", layers[1], network)
        if first == second:
            raise ValueError(f"second: got {second!r}, as for `first`, wanted a later layer: I(T;T) is infinite")
        if network.layer_names.index(second) < network.layer_names.index(first):
            raise ValueError(f"first: got {first!r}, wanted a layer before {second!r}; swap them: I is symmetric")
        check_rows(network, data.tensors, (second,))
        _check_chain(network.dependence, first, second)
        return cls(network, data.tensors, first, second, workers)

    @property
    def n_inputs(self) -> int:
        """Number n of values of X."""
        return len(self.inputs[0])

    @property
    def are_neighbours(self) -> bool:
        """Whether the signal of the second layer is a function of T of the first alone."""
        return self.network.dependence.is_function_of(self.second, self.first)

    @property
    def noise(self) -> Noise:
        """The noise of the second layer."""
        return self.network.noise[self.second]

    def recorded(self, inputs: Sequence[Tensor], passes: Passes) -> Tensor:
        """Run `passes`, which the processes share, and return the signals (n, r, d) of their only layer."""
        (layer,) = passes.layers
        shared = dataclasses.replace(passes, processes=self.workers.processes)
        return as_floats(f"signals of layer {layer!r}", record(self.network, inputs, shared)[layer])

    def signals(self, inputs: Sequence[Tensor], passes: Passes) -> Tensor:
        """Return the signals (n, r, d) of the second layer, whitened for Gaussian noise; `passes` must record it."""
        signals = self.recorded(inputs, passes)
        return signals if isinstance(self.noise, DropoutNoise) else self.noise.whiten(signals)


def _noisy_layer(argument: str, layer: object, network: MeasuredNetwork) -> str:
    if not isinstance(layer, str) or layer not in network.layer_names:
        raise LayerSelectionError(
            f"{argument}: got {shown_repr(layer)}, wanted the name of a noisy layer: {listed(network.layer_names)}"
        )
    return str(layer)


def _check_chain(dependence: DependenceGraph, first: str, second: str) -> None:
    """Raise a ValueError unless T of the first layer is a cut between the input and the second layer."""
    if dependence.unknown:
        raise ValueError(
            f"first: got {first!r}, of which it is not known whether it is a chain with {second!r}, because the "
            f"network {dependence.unknown}; wanted a network that runs the same operations of torch for all inputs; "
            "transformers reads the values of an attention mask: take inputs of one length, and leave the mask out"
        )
    paths = dependence.paths_past(first, second)
    if paths:
        source = INPUT if INPUT in paths else min(paths)
        raise ValueError(
            f"first: got {first!r}, but {source} acts on {second!r} by another path too, such as a skip "
            "connection or a mask; wanted a layer through which every path goes"
        )


def rows_of(inputs: Sequence[Tensor], rows: Integers) -> tuple[Tensor, ...]:
    """Return the chosen rows of every argument of the network."""
    return tuple(tensor[rows] for tensor in inputs)
