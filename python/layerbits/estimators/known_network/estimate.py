"""`known_network_estimates`: every quantity of a layer behind noise, from its signal model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network.density_estimates import (
    DensityEstimates,
    OwnEstimates,
    ScoredQueries,
    scores_of,
)
from layerbits.estimators.known_network.entropy_ends import EntropyMeasure, EntropyTerms
from layerbits.estimators.known_network.information_ends import (
    CAUSE_OF_GAP,
    DECODER,
    InformationTerms,
    standard_error,
)
from layerbits.estimators.known_network.pilot import DecoderChoice, Pilot
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries, QueryStream, pass_sizes
from layerbits.estimators.known_network.settings import KnownNetworkSettings
from layerbits.estimators.known_network.signal_model import SignalModel
from layerbits.estimators.known_network.terms import confusions
from layerbits.estimators.risk_shares import RiskShares
from layerbits.estimators.two_sided_estimate import Point, TwoSidedEstimate
from layerbits.estimators.width_causes import WidthCauses
from layerbits.kernels import RandomStream, derived_seed
from layerbits.statistics import Interval, Quantity

# Bytes of the arrays of a pair of a query and an input; the most pairs that are estimated at a time.
_BYTES_OF_PAIR, _MOST_PAIRS = 128, 2**22

# Samples of the noises of a query where only the input that made it counts.
_OWN_SAMPLES = 64


def known_network_estimates(
    model: SignalModel, classes: Classes, risk: float, seed: int, settings: KnownNetworkSettings
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity of a layer behind noise for one label set, as `estimates_of_label_sets`."""
    return estimates_of_label_sets(model, [classes], risk, seed, settings)[0]


def estimates_of_label_sets(
    model: SignalModel, label_sets: Sequence[Classes], risk: float, seed: int, settings: KnownNetworkSettings
) -> list[dict[str, TwoSidedEstimate]]:
    """Estimate every quantity of a layer behind noise with the network that makes its signals.

    Parameters
    ----------
    model : SignalModel
        The signal as a function of the input and of the earlier noises.
    label_sets : sequence of Classes
        Classes of the same inputs; they share all queries and samples.
    risk : float
        Probability with which each end of an interval may be wrong.
    seed : int
        Seed of all random numbers.
    settings : KnownNetworkSettings
        Queries, samples and memory.

    Returns
    -------
    list of dict
        For each label set, the estimate of each measured quantity, in nats; entropies lack the entropy of the noise.
        Empty if the pilot expects no ends that improve `KnownNetworkSettings.other`.

    Raises
    ------
    UnboundedGainError
        The noise of earlier layers acts so strongly that float64 cannot invert a covariance.
    """
    proposals = Proposals(model, seed, settings.max_memory, settings.jacobians)
    least = sum(pass_sizes(model.n_inputs, settings.queries))
    sizes = pass_sizes(model.n_inputs, max(least, settings.most_queries))
    source = QueryStream(model, [settings.pilot_queries, *sizes], seed)
    block = max(1, min(_MOST_PAIRS, settings.max_memory // _BYTES_OF_PAIR) // model.n_inputs)
    # The pilot and the first block are scored together, because each visit to the proposals may fit the models again.
    queries = source.take(settings.pilot_queries + min(block, least))
    scores = scores_of(proposals, queries)
    for_pilot, first = slice(settings.pilot_queries), slice(settings.pilot_queries, None)
    scored = ScoredQueries(queries.select(for_pilot), scores[for_pilot])
    # Each end of a bet is about sqrt(2 log(1 / risk) / n) standard deviations from the mean.
    width_of_bets = 2 * math.sqrt(-2 * math.log(risk) / least)
    pilot = Pilot.of(proposals, scored, label_sets, dataclasses.replace(settings, queries=least), width_of_bets)
    if not settings.other.is_improved_by(pilot.expected):
        return []
    entropy, n_final = EntropyMeasure.of(proposals, pilot.n_final, risk), pilot.n_final
    of_label_sets = [
        _Terms(decoders, entropy, classes) for decoders, classes in zip(pilot.decoders, label_sets, strict=True)
    ]
    blocks = [[terms.at(pilot.queries, pilot.estimates)] for terms in of_label_sets]
    queries, scores = queries.select(first), scores[first]
    if n_more := min(block, n_final) - len(queries.rows):
        more = source.take(n_more)
        queries, scores = queries.joined(more), torch.cat([scores, scores_of(proposals, more)])
    for number, start in enumerate(range(0, n_final, block)):
        if start:
            queries = source.take(min(block, n_final - start))
            scores = scores_of(proposals, queries)
        block_seed = derived_seed(seed, RandomStream.KNOWN_BLOCK_SEED, number)
        (estimates,) = DensityEstimates.of(proposals, queries, scores, [pilot.effort], block_seed)
        for of_blocks, terms in zip(blocks, of_label_sets, strict=True):
            of_blocks.append(terms.at(queries, estimates))
    cuts = np.cumsum(pass_sizes(model.n_inputs, n_final))[:-1]
    return [
        _estimates(terms, _by_pass(of_blocks, cuts), risk, settings.shares)
        for terms, of_blocks in zip(of_label_sets, blocks, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class _Terms:
    """All terms of a query and a label set, by a name; the functions are fixed before the final queries."""

    decoders: Mapping[str, DecoderChoice]
    entropy: EntropyMeasure
    classes: Classes

    def at(self, queries: KnownQueries, estimates: DensityEstimates) -> dict[str, Doubles]:
        terms: dict[str, Doubles] = {}
        for quantity in self.classes.quantities:
            if not quantity.is_entropy:
                decoder = self.decoders[quantity.name]
                terms[_decoder(quantity)] = decoder.terms(quantity, estimates, queries, self.classes)
                terms[_confusion(quantity)] = confusions(quantity, estimates, queries.rows, self.classes)
        terms["above"], terms["below"] = self.entropy.terms(queries, estimates.own(queries.rows))
        return terms


def _by_pass(blocks: Sequence[Mapping[str, Doubles]], cuts: npt.NDArray[np.int_]) -> dict[str, list[Doubles]]:
    """Return the terms at the pilot queries, the first block, and then those of each pass, by name."""
    return {
        name: [values, *np.split(np.concatenate([of_block[name] for of_block in blocks[1:]]), cuts)]
        for name, values in blocks[0].items()
    }


def _estimates(
    terms: _Terms, passes: Mapping[str, Sequence[Doubles]], risk: float, shares: RiskShares
) -> dict[str, TwoSidedEstimate]:
    """Return the estimate of each quantity from the terms of the passes."""
    classes, entropy = terms.classes, terms.entropy
    information = {
        quantity.name: InformationTerms(
            passes[_decoder(quantity)], passes[_confusion(quantity)], classes.ceilings[quantity.name], risk
        )
        for quantity in classes.quantities
        if not quantity.is_entropy
    }
    given_input = entropy.of_passes(passes["above"], passes["below"])
    estimates = {name: of_name.estimate(shares) for name, of_name in information.items()}
    estimates |= _entropies(given_input, information["I(X;T)"], risk)
    return {quantity.name: estimates[quantity.name] for quantity in classes.quantities}


def _decoder(quantity: Quantity) -> str:
    return f"decoder of {quantity.name}"


def _confusion(quantity: Quantity) -> str:
    return f"confusion of {quantity.name}"


def _entropies(given_input: EntropyTerms, information: InformationTerms, risk: float) -> dict[str, TwoSidedEstimate]:
    """Return h(T|X), and h(T) = h(T|X) + I(X;T) with half of the risk for each summand."""
    ends = Interval(given_input.lower_end(risk), given_input.upper_end(risk))
    total = information.interval(risk / 2, risk / 2)
    half_risk = Interval(given_input.lower_end(risk / 2), given_input.upper_end(risk / 2))
    below, above = (np.concatenate(list(terms[1:])) for terms in (given_input.below, given_input.above))
    decoded, confusion = (
        np.concatenate(list(terms[1:])) for terms in (information.mixed_decoder, information.confusions)
    )
    return {
        "h(T|X)": _entropy(ends, below, above, given_input.tail_assumed),
        "h(T)": _entropy(
            Interval(half_risk.lower + total.lower, half_risk.upper + total.upper),
            below + decoded,
            above + information.ceiling - confusion,
            given_input.tail_assumed,
        ),
    }


def entropy_of_random_inputs(
    model: SignalModel, sizes: Sequence[int], risk: float, seed: int, max_memory: int
) -> EntropyTerms:
    """Return terms of h(T|X) less the entropy of the noise, where the inputs are random: one query of each.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of successive inputs: those of the pilot, then those of each final pass. The mean over the inputs of a
        final pass must have the expectation h(T|X).
    """
    proposals = Proposals(model, seed, max_memory)
    queries = KnownQueries.sample(model, [model.n_inputs], seed)
    measure = EntropyMeasure.of(proposals, sum(sizes[1:]), risk, sizes[0])
    estimates = OwnEstimates.of(proposals, queries, _OWN_SAMPLES, seed)
    cuts = np.cumsum(sizes)[:-1]
    above, below = (np.split(terms, cuts) for terms in measure.terms(queries, estimates))
    return measure.of_passes(above, below)


def _entropy(interval: Interval, below: Doubles, above: Doubles, tail_assumed: bool) -> TwoSidedEstimate:
    lower, upper = float(below.mean()), float(above.mean())
    errors = standard_error(below), standard_error(above)
    bounds = Interval(min(lower, upper), max(lower, upper))
    return TwoSidedEstimate(
        interval=interval,
        plug_in=lower,
        plug_in_error=errors[0],
        decoded=upper,
        decoded_error=errors[1],
        decoder=DECODER,
        limited_by=WidthCauses(Interval(lower, upper), CAUSE_OF_GAP).main_of(interval),
        point=Point(Interval(lower, upper), sum(errors) / 2, bounds),
        tail_assumed=tail_assumed,
    )
