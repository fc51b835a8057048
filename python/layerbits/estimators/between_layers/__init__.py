"""Information between two layers of a chain, I(T_k;T_l), from both sides.

`chain` refuses layers that are no chain by the graph of the network. `pair_sample` runs the passes. `marginal_density`
and `conditional_density` compute log densities of T_l and of T_l given T_k. `estimate` combines them into an interval.
`decoder_end` and `known_network_ends` compute ends from decoders of the caller and from the known network.
"""

from layerbits.estimators.between_layers.estimate import information_between_layers

__all__ = ["information_between_layers"]
