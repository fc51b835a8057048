"""`known_network_estimates`: every quantity of a layer behind noise, from its signal model."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network.density_estimates import DensityEstimates, ScoredQueries, scores_of
from layerbits.estimators.known_network.entropy_ends import EntropyMeasure, EntropyTerms
from layerbits.estimators.known_network.information_ends import DECODER, InformationTerms, main_cause, standard_error
from layerbits.estimators.known_network.pilot import Pilot
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries, pass_sizes
from layerbits.estimators.known_network.settings import KnownNetworkSettings
from layerbits.estimators.known_network.signal_model import SignalModel
from layerbits.estimators.known_network.terms import confusions
from layerbits.estimators.two_sided_estimate import Point, TwoSidedEstimate
from layerbits.kernels import RandomStream, derived_seed
from layerbits.statistics import Interval, Quantity

# Pairs of a query and an input whose densities are estimated at a time; a fixed number, because each block of queries
# has its own seed.
_PAIRS = 2**21


def known_network_estimates(
    model: SignalModel, classes: Classes, risk: float, seed: int, settings: KnownNetworkSettings
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity of a layer behind noise with the network that makes its signals.

    Parameters
    ----------
    model : SignalModel
        The signal as a function of the input and of the earlier noises.
    classes : Classes
        The classes of the inputs.
    risk : float
        Probability with which each end of an interval may be wrong.
    seed : int
        Seed of all random numbers.
    settings : KnownNetworkSettings
        Queries, samples and memory.

    Returns
    -------
    dict
        The estimate of each measured quantity, in nats; entropies are less the entropy of the noise.
    """
    proposals = Proposals(model, seed, settings.max_memory)
    sizes = [settings.pilot_queries, *pass_sizes(model.n_inputs, settings.queries)]
    queries = KnownQueries.sample(model, sizes, seed)
    scores = scores_of(proposals, queries)
    for_pilot = slice(settings.pilot_queries)
    scored = ScoredQueries(queries.select(for_pilot), scores[for_pilot])
    # Each end of a bet is about sqrt(2 log(1 / risk) / n) standard deviations from the mean.
    width_of_bets = 2 * math.sqrt(-2 * math.log(risk) / sum(sizes[1:]))
    pilot = Pilot.of(proposals, scored, classes, settings.samples, width_of_bets)
    entropy = EntropyMeasure.of(proposals, sum(sizes[1:]), risk)
    terms = _Terms(pilot, entropy, classes)
    at_pilot, blocks = terms.at(pilot.queries, pilot.estimates), []
    block = max(1, _PAIRS // model.n_inputs)
    for number, start in enumerate(range(settings.pilot_queries, len(queries.rows), block)):
        part, block_seed = slice(start, start + block), derived_seed(seed, RandomStream.KNOWN_BLOCK_SEED, number)
        of_block = queries.select(part)
        (estimates,) = DensityEstimates.of(proposals, of_block, scores[part], [pilot.effort], block_seed)
        blocks.append(terms.at(of_block, estimates))
    cuts = np.cumsum(sizes[1:])[:-1]
    passes = {
        name: [values, *np.split(np.concatenate([values_of_block[name] for values_of_block in blocks]), cuts)]
        for name, values in at_pilot.items()
    }
    information = {
        quantity.name: InformationTerms(
            passes[_decoder(quantity)], passes[_confusion(quantity)], classes.ceilings[quantity.name], risk
        )
        for quantity in classes.quantities
        if not quantity.is_entropy
    }
    given_input = EntropyTerms(
        passes["above"], passes["below"], entropy.largest, entropy.least, entropy.wide.tail_assumed
    )
    estimates_by_name = {name: of_name.estimate(settings.shares) for name, of_name in information.items()}
    estimates_by_name |= _entropies(given_input, information["I(X;T)"], risk)
    return {quantity.name: estimates_by_name[quantity.name] for quantity in classes.quantities}


@dataclasses.dataclass(frozen=True)
class _Terms:
    """All terms of a query, by a name; the functions are fixed before the final queries."""

    pilot: Pilot
    entropy: EntropyMeasure
    classes: Classes

    def at(self, queries: KnownQueries, estimates: DensityEstimates) -> dict[str, Doubles]:
        terms: dict[str, Doubles] = {}
        for quantity in self.classes.quantities:
            if not quantity.is_entropy:
                decoder = self.pilot.decoders[quantity.name]
                terms[_decoder(quantity)] = decoder.terms(quantity, estimates, queries, self.classes)
                terms[_confusion(quantity)] = confusions(quantity, estimates, queries.rows, self.classes)
        terms["above"], terms["below"] = self.entropy.terms(queries, estimates)
        return terms


def _decoder(quantity: Quantity) -> str:
    return f"decoder of {quantity.name}"


def _confusion(quantity: Quantity) -> str:
    return f"confusion of {quantity.name}"


def _entropies(given_input: EntropyTerms, information: InformationTerms, risk: float) -> dict[str, TwoSidedEstimate]:
    """Return h(T|X), and h(T) = h(T|X) + I(X;T) with half of the risk for each summand."""
    ends, total = (
        Interval(given_input.lower_end(risk), given_input.upper_end(risk)),
        information.interval(risk / 2, risk / 2),
    )
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
        limited_by=main_cause(interval, upper - lower),
        point=Point(Interval(lower, upper), sum(errors) / 2, bounds),
        tail_assumed=tail_assumed,
    )
