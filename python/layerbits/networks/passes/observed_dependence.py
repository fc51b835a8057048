"""`observe_dependence`: follow operations in two passes of a few rows, and return the graph of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from layerbits._base import LayerSelectionError
from layerbits.networks.execution.generators import generators_restored
from layerbits.networks.execution.other_generators import OtherGenerators
from layerbits.networks.observation.dependence_graph import DependenceGraph
from layerbits.networks.observation.input_dependence import values_read
from layerbits.networks.observation.sources import INPUT, NOTHING, Source, Sources, SourceTracking
from layerbits.networks.passes.interventions import interventions_differ

if TYPE_CHECKING:
    from layerbits.networks.passes.measured_network import MeasuredNetwork

# Rows of a tracked pass.
_ROWS = 2

# Seed of the network's own random numbers in both passes.
_SEED = 0


class _TrackedPass(TorchFunctionMode):
    """A pass in which noisy values have their layer as their only source.

    Attributes
    ----------
    tracking : SourceTracking
        The sources of all tensors.
    sources : dict of str to frozenset of Source
        The sources of the signal of each layer that ran, in the order of the pass.
    """

    def __init__(self, network: MeasuredNetwork, rows: Sequence[Tensor]) -> None:
        super().__init__()
        self.network = network
        self.tracking = SourceTracking()
        self.sources: dict[str, Sources] = {}
        inputs = [tensor.clone() for tensor in rows]
        for tensor in inputs:
            self.tracking.begin(tensor, frozenset({INPUT}))
        devices = {tensor.device for tensor in network.module.parameters() if tensor.is_cuda} | {torch.device("cpu")}
        other_generators = OtherGenerators(network.module)
        with generators_restored(network.module, _SEED):
            self.tracking.keep_first_states(devices)
            with self, self.tracking, network.adding_routed_noise():
                network.run(self._pass_on, inputs, restores=False)  # so that values that a pass keeps are found
        if other_generators.have_changed():
            self.tracking.opaque = "draws random numbers from a generator of Python or NumPy"

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.tracking.read(values_read(func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _pass_on(self, index: int, signal: Tensor) -> Tensor:
        layer = self.network.layer_names[index]
        self.sources[layer] = self.tracking.sources(signal)
        if not self.network.adds_noise:
            return signal
        return self.tracking.copy(signal, frozenset({Source("layer", layer)}))

    def differs(self, other: _TrackedPass) -> str:
        """Return how a later pass differs, as the predicate of a sentence about the network; empty if it does not."""
        if self.tracking.operations != other.tracking.operations or list(self.sources) != list(other.sources):
            return "runs other operations, or the same with other numbers, in another pass"
        for address, memory in other.tracking.memories.items():
            if memory.is_outside and memory.is_used:
                first = self.tracking.memories.get(address)
                if first is None:
                    return "uses tensors that operations of the pass did not make, as of another thread"
                if first.sources:
                    return "keeps values from one pass to the next"
        return ""


def observe_dependence(network: MeasuredNetwork, inputs: Sequence[Tensor]) -> DependenceGraph:
    """Return the graph of the layers of a network, observed in passes of the first and the last inputs.

    Operations count, not values: a path that acts on a layer for few inputs, or in few passes, is found. Both passes
    must run the same operations. If values of the input leave torch, the network may run other operations for other
    inputs, and the graph is unknown. In a noisy network, a signal must not change in further passes that
    change values which are not among its sources.
    """
    try:
        first = _TrackedPass(network, [tensor[:_ROWS] for tensor in inputs])
        # Where the network may branch, the same rows must give the same pass: it has no other randomness.
        branches = bool(first.tracking.lost)
        second = _TrackedPass(network, [tensor[:_ROWS] if branches else tensor[-_ROWS:] for tensor in inputs])
    except LayerSelectionError:
        return _unknown(network, "runs other layers in another pass")
    differs = first.tracking.opaque or first.differs(second)
    if differs:
        return _unknown(network, differs)
    layers = network.layer_names
    sources = {layer: first.sources.get(layer, NOTHING) for layer in layers}
    if branches or len(first.sources) < len(layers):
        return DependenceGraph(sources, "may branch on values: it reads numbers, or sizes that depend on them")
    if network.adds_noise and interventions_differ(network, inputs, first.sources):
        return _unknown(network, "has paths between layers that its operations do not show, as of another thread")
    return DependenceGraph(sources, has_fixed_shapes=first.tracking.shows_sizes)


def _unknown(network: MeasuredNetwork, reason: str) -> DependenceGraph:
    return DependenceGraph(dict.fromkeys(network.layer_names, NOTHING), reason, is_deterministic=False)
