"""`DependenceGraph`: which inputs, random numbers and noisy values act on the signal of each layer of a network.

The nodes are the input, every call of the network for random numbers, and the noisy value T of every layer. The edges
lead from the sources of a signal S to T = S + Z. The noise Z of a layer acts on its T alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from layerbits.networks.observation.sources import INPUT, NOTHING, Source, Sources


@dataclasses.dataclass(frozen=True)
class DependenceGraph:
    """The sources of the signal of every layer, observed in a pass.

    Attributes
    ----------
    sources : mapping of str to frozenset of Source
        For each layer, the input, the draws and the noisy values that act on its signal other than through the noisy
        value of a layer. A layer with the source ``("layer", "a")`` is computed from T of ``"a"``.
    unknown : str
        Why the graph may be incomplete, as the predicate of a sentence about the network; empty if it is complete.
    is_deterministic : bool
        Whether the network is known to draw random numbers from torch's generators alone, and to keep no values from
        pass to pass. Otherwise no layer is known to be a function of the input.
    has_fixed_shapes : bool
        Whether it is known that no value decides which layers run, nor the shape of a signal.
    """

    sources: Mapping[str, Sources]
    unknown: str = ""
    is_deterministic: bool = True
    has_fixed_shapes: bool = False

    def is_function_of_input(self, layer: str) -> bool:
        """Return whether the signal of a layer is a function of the input alone."""
        return not self.unknown and self.sources[layer] <= {INPUT}

    def is_function_of(self, layer: str, earlier: str) -> bool:
        """Return whether the signal of a layer is a function of the noisy value of an earlier layer alone."""
        return not self.unknown and self.sources[layer] <= {Source("layer", earlier)}

    def is_cut(self, earlier: str, layer: str) -> bool:
        """Return whether the input acts on a layer through the noisy value of an earlier layer alone.

        Then X, T of the earlier layer and T of the layer are a Markov chain. No path leads past the earlier layer from
        the input, nor from random numbers or noise that acts on the earlier layer.
        """
        return not self.unknown and earlier != layer and not self.paths_past(earlier, layer)

    def paths_past(self, earlier: str, layer: str) -> Sources:
        """Return the input, and the draws and noise behind `earlier`, that act on `layer` past `earlier`.

        The noise of a layer appears as the layer.
        """
        return self.origins(layer, without=earlier) & (self.origins(earlier) | {INPUT})

    def cuts(self, layer: str) -> tuple[str, ...]:
        """Return the layers whose noisy values are a cut between the input and a layer."""
        return tuple(earlier for earlier in self.sources if self.is_cut(earlier, layer))

    def origins(self, layer: str, without: str = "") -> Sources:
        """Return the input, draws and noise that act on the signal of a layer, on paths without one noisy value.

        The noise of a layer appears as the layer. `without` names the layer of that noisy value; by default all paths
        count.
        """
        origins, pending = NOTHING, [self.sources[layer]]
        omitted = NOTHING if not without else frozenset({Source("layer", without)})
        while pending:
            new_origins = pending.pop() - origins - omitted
            origins |= new_origins
            pending += [self.sources[source.name] for source in new_origins if source.kind == "layer"]
        return origins
