"""Choices by the pilot: the samples of a query, and the scores of the decoder of each quantity.

The pilot's queries are other queries than the final ones, so the choices do not depend on the final queries.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network.annealing import Bridges
from layerbits.estimators.known_network.density_estimates import (
    AnnealedEffort,
    DensityEstimates,
    Effort,
    ScoredQueries,
)
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.settings import KnownNetworkSettings
from layerbits.estimators.known_network.terms import confusions, decoder_scores, decoder_terms
from layerbits.estimators.known_network.work import Work
from layerbits.kernels import RandomStream, derived_seed
from layerbits.statistics import Interval, Quantity, mix_with_prior

# First number of samples, and the factor by which it grows.
_FIRST_SAMPLES, _GROWTH = 16, 4

# The growth ends where the gap between the bounds of I(X;T) is below this share of the width that the final queries
# leave, because more queries then narrow the interval at less cost, or where the gap shrinks by less than the step
# (nats).
_SMALL_SHARE = 0.5
_SMALL_STEP = 0.02

# The input that made a query gets at least so many samples, relative to those that are divided among all inputs.
_OWN_SHARE = 0.25

# Shares of the sampled estimates in the scores, and temperatures: scores that are too sharp lose more than they gain.
_SAMPLED_SHARES, _TEMPERATURES = (0.0, 0.5, 1.0), (1.0, 1.25, 1.6, 2.0)

# Weight of the prior in the comparison of decoders.
_PRIOR_WEIGHT = 0.01


@dataclasses.dataclass(frozen=True)
class DecoderChoice:
    """The scores of a decoder, as in `decoder_scores`."""

    sampled_share: float
    temperature: float

    def terms(
        self, quantity: Quantity, estimates: DensityEstimates, queries: KnownQueries, classes: Classes
    ) -> Doubles:
        """Return the decoder terms of a quantity at queries, (q,)."""
        scores = decoder_scores(estimates, self.sampled_share, self.temperature)
        return decoder_terms(quantity, scores, queries.rows, classes)


_CHOICES = tuple(DecoderChoice(*choice) for choice in itertools.product(_SAMPLED_SHARES, _TEMPERATURES))


@dataclasses.dataclass(frozen=True)
class Pilot:
    """The choices, and the pilot's own estimates.

    Attributes
    ----------
    queries : KnownQueries
        The pilot's queries.
    estimates : DensityEstimates
        The estimates at these queries by the chosen effort.
    effort : Effort
        The samples of a query.
    decoders : sequence of mappings of str to DecoderChoice
        For each label set, the decoder of each information, by its name.
    n_final : int
        The number of final queries.
    expected : Interval
        Expected final interval of I(X;T).
    """

    queries: KnownQueries
    estimates: DensityEstimates
    effort: Effort
    decoders: Sequence[Mapping[str, DecoderChoice]]
    n_final: int
    expected: Interval

    @classmethod
    def of(
        cls,
        proposals: Proposals,
        scored: ScoredQueries,
        label_sets: Sequence[Classes],
        settings: KnownNetworkSettings,
        width_of_bets: float,
    ) -> Pilot:
        """Choose the numbers of samples and queries by I(X;T), and the decoders of each label set.

        `width_of_bets` is the width of the interval that `settings.queries` leave, in standard deviations of a term.
        """
        seed = derived_seed(proposals.seed, RandomStream.KNOWN_PILOT_SEED)
        efforts = _efforts(settings)
        of_efforts = DensityEstimates.of(proposals, scored.queries, scored.scores, efforts, seed)
        candidates = [
            _Candidate.of(effort, estimates, scored.queries, label_sets[0], settings.queries, width_of_bets)
            for effort, estimates in zip(efforts, of_efforts, strict=True)
        ]
        chosen = _sufficient(candidates)
        if settings.most_queries > settings.queries:
            chosen = _best_division(candidates, chosen, proposals, settings.most_queries)
        least_gain = _SMALL_SHARE * chosen.width
        for annealed in _annealed_efforts(settings) if chosen.gap > least_gain else []:
            (estimates,) = DensityEstimates.of(proposals, scored.queries, scored.scores, [annealed], seed)
            candidate = _Candidate.of(
                annealed, estimates, scored.queries, label_sets[0], settings.queries, width_of_bets
            )
            if candidate.width_of_interval < chosen.width_of_interval - least_gain:
                chosen, least_gain = candidate, _SMALL_STEP
        decoders = [
            {
                quantity.name: _best_choice(quantity, chosen.estimates, scored.queries, classes)
                for quantity in classes.quantities
                if not quantity.is_entropy
            }
            for classes in label_sets
        ]
        return cls(scored.queries, chosen.estimates, chosen.effort, decoders, chosen.n_final, chosen.expected)


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """An effort, its estimates, the mean bounds of I(X;T), and the width that a number of final queries leaves."""

    effort: Effort
    estimates: DensityEstimates
    below: float
    above: float
    n_final: int
    width: float

    @property
    def gap(self) -> float:
        return self.above - self.below

    @property
    def width_of_interval(self) -> float:
        """The expected width of the final interval."""
        return self.gap + self.width

    def with_queries(self, n_final: int) -> _Candidate:
        """Return the same effort with another number of final queries."""
        return dataclasses.replace(self, n_final=n_final, width=self.width * math.sqrt(self.n_final / n_final))

    @property
    def expected(self) -> Interval:
        """The expected final interval."""
        lower, upper = min(self.below, self.above), max(self.below, self.above)
        return Interval(lower - self.width / 2, upper + self.width / 2)

    @classmethod
    def of(
        cls,
        effort: Effort,
        estimates: DensityEstimates,
        queries: KnownQueries,
        classes: Classes,
        n_final: int,
        width_of_bets: float,
    ) -> _Candidate:
        total = classes.quantities[0]
        decoder = _best_choice(total, estimates, queries, classes)
        confusion = confusions(total, estimates, queries.rows, classes)
        decoded = _mixed_terms(decoder, total, estimates, queries, classes)
        above = classes.ceilings[total.name] - float(confusion.mean())
        return cls(effort, estimates, float(decoded.mean()), above, n_final, width_of_bets * float(decoded.std()))


def _efforts(settings: KnownNetworkSettings) -> list[Effort]:
    """Return efforts whose numbers K of samples grow up to the largest one.

    The inputs without samples have a posterior probability of at most about 1 / K together.
    """
    numbers = [settings.samples]
    while numbers[0] > _FIRST_SAMPLES:
        numbers.insert(0, max(_FIRST_SAMPLES, numbers[0] // _GROWTH))
    return [
        Effort(number, max(1, int(_OWN_SHARE * number)), max(settings.least_share, 1 / number)) for number in numbers
    ]


def _sufficient(candidates: Sequence[_Candidate]) -> _Candidate:
    """Return the first candidate beyond which more samples pay less than more queries."""
    for candidate, following in itertools.pairwise(candidates):
        if candidate.gap < _SMALL_SHARE * candidate.width:
            return candidate
        if candidate.gap - following.gap < _SMALL_STEP:
            return following
    return candidates[-1]


def _best_division(
    candidates: Sequence[_Candidate], sufficient: _Candidate, proposals: Proposals, most_queries: int
) -> _Candidate:
    """Return the candidate, with a number of queries in whole passes, whose expected interval is the narrowest.

    Its queries take at most as much work as those of the sufficient candidate and all fits of models so far.
    """
    work, n_inputs, least = Work.of(proposals.model, proposals.rank), proposals.model.n_inputs, sufficient.n_final

    def work_of_query(candidate: _Candidate) -> float:
        return work.query(float(candidate.estimates.counts.sum(1).double().mean()))

    affordable = least * work_of_query(sufficient) + proposals.n_fits * work.models(proposals.n_jacobians)
    divisions = [sufficient]
    for candidate in candidates:
        passes = int(min(affordable / work_of_query(candidate), most_queries) // n_inputs)
        if passes * n_inputs >= least:
            divisions.append(candidate.with_queries(passes * n_inputs))
    return min(divisions, key=lambda candidate: candidate.width_of_interval)


def _annealed_efforts(settings: KnownNetworkSettings) -> list[AnnealedEffort]:
    """Return efforts of about two evaluations of the network for each sample: many chains, or many bridges.

    On the third layer of tanh64 x 3 the gap is 0.99 nats with 64 chains of a query and 32 bridges, as with 32 chains
    and 128 bridges, in a third of the time.
    """
    if not settings.chains:
        return []
    root = math.isqrt(settings.samples)
    return [
        AnnealedEffort(chains, max(2, chains // 8), bridges=Bridges(max(1, 2 * settings.samples // chains)))
        for chains in (2 * root, max(1, root // 2))
    ]


def _best_choice(
    quantity: Quantity, estimates: DensityEstimates, queries: KnownQueries, classes: Classes
) -> DecoderChoice:
    def mean(choice: DecoderChoice) -> float:
        return float(_mixed_terms(choice, quantity, estimates, queries, classes).mean())

    return max(_CHOICES, key=mean)


def _mixed_terms(
    choice: DecoderChoice, quantity: Quantity, estimates: DensityEstimates, queries: KnownQueries, classes: Classes
) -> Doubles:
    return mix_with_prior(choice.terms(quantity, estimates, queries, classes), _PRIOR_WEIGHT)
