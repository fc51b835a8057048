"""I(T_k;T_l) from the known network: the noises between the layers are inferred.

In a chain X -> T_k -> T_l, I(T_k;T_l) = h(T_l) - h(T_l|T_k), which is at least I(X;T_l). Between neighbours h(T_l|T_k)
is the entropy of the noise. Elsewhere T_k takes the place of the input, and W holds the noises between the layers.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from layerbits.estimators.between_layers.chain import LayerPair, rows_of
from layerbits.estimators.between_layers.pair_sample import first_values
from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, entropy_of_random_inputs, estimates_of_label_sets
from layerbits.estimators.known_network.network_signal_model import NetworkSignalModel, whitened
from layerbits.kernels import RandomStream, derived_seed, stream
from layerbits.networks import DropoutNoise, GaussianNoise, GivenNoises
from layerbits.statistics import Interval, JackknifeMean

# Smallest number of queries of all inputs, and number of values of T_k that set the first stakes.
_MIN_QUERIES, _PILOT_VALUES = 1024, 128


@dataclasses.dataclass(frozen=True)
class PairBounds:
    """Bounds of I(T_k;T_l), in nats.

    Attributes
    ----------
    interval : Interval
        Confidence interval.
    means : Interval
        The bound below and the bound above, on average.
    standard_error : float
        Upper bound of the standard error of the middle of `means`.
    tail_assumed : bool
        Whether an end assumes a largest distance of signals from their center.
    """

    interval: Interval
    means: Interval
    standard_error: float
    tail_assumed: bool


def known_network_bounds(pair: LayerPair, queries: int, risk: float, seed: int) -> PairBounds:
    """Bound I(T_k;T_l) with `queries` queries of each input, and at least 1024 of all.

    Each end of the interval is wrong with at most this risk.

    Raises
    ------
    ValueError
        The network does not allow the estimator, as in `layer_information`.
    """
    noise = pair.noise
    if isinstance(noise, DropoutNoise):
        raise ValueError(
            f"estimator: got 'known' for {pair.second!r}, which has {noise}, wanted noise that does not depend on its "
            "signal; use 'draws'"
        )
    queries = max(queries, -(-_MIN_QUERIES // pair.n_inputs))
    # At most three ends, of I(X;T_l), h(T_l) and h(T_l|T_k), give an end of the interval.
    share = risk / 3
    settings = KnownNetworkSettings(queries=queries * pair.n_inputs, max_memory=pair.network.max_memory)
    classes = Classes.of(None, pair.n_inputs)
    given = GivenNoises(pair.network, pair.inputs, pair.second, whitened(noise))
    model = NetworkSignalModel.of_passes(given, noise, is_whole=True)
    (estimates,) = estimates_of_label_sets(model, [classes], share, seed, settings)
    information, entropy = estimates["I(X;T)"], estimates["h(T)"]
    if pair.are_neighbours:
        given_first = _EntropyGivenFirst.of_neighbours()
    else:
        given_first = _EntropyGivenFirst.of(pair, noise, queries, share, seed)
    lower = max(information.interval.lower, entropy.interval.lower - given_first.interval.upper)
    upper = max(0.0, entropy.interval.upper - given_first.interval.lower)
    means = Interval(
        max(information.decoded, entropy.plug_in - given_first.above.value), entropy.decoded - given_first.below.value
    )
    errors = entropy.plug_in_error, entropy.decoded_error, given_first.above.standard_error
    return PairBounds(
        Interval(lower, upper),
        means,
        (sum(errors) + given_first.below.standard_error) / 2,
        entropy.tail_assumed or given_first.tail_assumed,
    )


@dataclasses.dataclass(frozen=True)
class _EntropyGivenFirst:
    """h(T_l|T_k) less the entropy of the noise: its interval, and the means of the terms below and above."""

    interval: Interval
    below: JackknifeMean
    above: JackknifeMean
    tail_assumed: bool = False

    @classmethod
    def of_neighbours(cls) -> _EntropyGivenFirst:
        zero = JackknifeMean.of_terms(np.zeros((1, 1)))
        return cls(Interval(0.0, 0.0), zero, zero)

    @classmethod
    def of(cls, pair: LayerPair, noise: GaussianNoise, queries: int, risk: float, seed: int) -> _EntropyGivenFirst:
        pilot_passes = -(-_PILOT_VALUES // pair.n_inputs)
        values = first_values(pair, queries + pilot_passes, seed).transpose(0, 1).flatten(0, 1)
        indices = np.tile(np.arange(pair.n_inputs), queries + pilot_passes)
        # The pilot takes random inputs, because the inputs may be sorted; each final pass takes every input once.
        n_pilot = pilot_passes * pair.n_inputs
        pilot = stream(seed, RandomStream.KNOWN_PAIR_PILOT).permutation(n_pilot)[:_PILOT_VALUES]
        order = np.concatenate([pilot, np.arange(n_pilot, len(indices))])
        inputs, values = rows_of(pair.inputs, indices[order]), values[torch.from_numpy(order)]
        given = GivenNoises(pair.network, inputs, pair.second, whitened(noise), (pair.first, values))
        model = NetworkSignalModel.of_passes(given, noise, is_whole=True)
        terms = entropy_of_random_inputs(
            model,
            [len(pilot), *[pair.n_inputs] * queries],
            risk,
            derived_seed(seed, RandomStream.KNOWN_PAIR_SEED),
            pair.network.max_memory,
        )
        below, above = (JackknifeMean.of_terms(np.stack(passes[1:], 1)) for passes in (terms.below, terms.above))
        return cls(Interval(terms.lower_end(risk), terms.upper_end(risk)), below, above, terms.tail_assumed)
