"""Choices by the pilot: the samples of a query, and the scores of the decoder of each quantity.

The pilot's queries are other queries than the final ones, so the choices do not depend on the final queries.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np

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
from layerbits.estimators.known_network.terms import confusions, decoder_scores, decoder_terms
from layerbits.kernels import RandomStream, derived_seed
from layerbits.statistics import Quantity, mix_with_prior

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
    decoders : mapping of str to DecoderChoice
        The decoder of each information, by its name.
    """

    queries: KnownQueries
    estimates: DensityEstimates
    effort: Effort
    decoders: Mapping[str, DecoderChoice]

    @classmethod
    def of(
        cls, proposals: Proposals, at: ScoredQueries, classes: Classes, most_samples: int, width_of_bets: float
    ) -> Pilot:
        """Choose the number of samples, at most `most_samples`, and the decoders.

        `width_of_bets` is the width of the interval that the final queries leave, in standard deviations of a term.
        """
        efforts = _efforts(most_samples)
        seed = derived_seed(proposals.seed, RandomStream.KNOWN_PILOT_SEED)
        of_efforts = DensityEstimates.of(proposals, at.queries, at.scores, efforts, seed)
        pilot, gap, paying_gain, previous_gap = None, np.inf, 0.0, np.inf
        for effort, estimates in zip(efforts, of_efforts, strict=True):
            pilot = cls._of_effort(effort, estimates, at.queries, classes)
            gap, deviation = pilot._gap_and_deviation(classes)
            paying_gain = _SMALL_SHARE * width_of_bets * deviation
            if gap < paying_gain or previous_gap - gap < _SMALL_STEP:
                break
            previous_gap = gap
        assert pilot is not None, "there is at least one effort"
        for annealed in _annealed_efforts(most_samples) if gap > paying_gain else []:
            (estimates,) = DensityEstimates.of(proposals, at.queries, at.scores, [annealed], seed)
            with_chains = cls._of_effort(annealed, estimates, at.queries, classes)
            gap_of_chains, _ = with_chains._gap_and_deviation(classes)
            if gap_of_chains < gap - paying_gain:
                pilot, gap, paying_gain = with_chains, gap_of_chains, _SMALL_STEP
        return pilot

    @classmethod
    def _of_effort(cls, effort: Effort, estimates: DensityEstimates, queries: KnownQueries, classes: Classes) -> Pilot:
        information = [quantity for quantity in classes.quantities if not quantity.is_entropy]
        decoders = {quantity.name: _best_choice(quantity, estimates, queries, classes) for quantity in information}
        return cls(queries, estimates, effort, decoders)

    def _gap_and_deviation(self, classes: Classes) -> tuple[float, float]:
        """Return the gap between the mean bounds of I(X;T), and the standard deviation of a term of the lower one."""
        total = next(quantity for quantity in classes.quantities if not quantity.is_entropy)
        confusion = confusions(total, self.estimates, self.queries.rows, classes)
        decoded = _mixed_terms(self.decoders[total.name], total, self.estimates, self.queries, classes)
        gap = classes.ceilings[total.name] - float(confusion.mean() + decoded.mean())
        return gap, float(decoded.std())


def _efforts(most_samples: int) -> list[Effort]:
    """Return efforts whose numbers of samples grow up to `most_samples`."""
    numbers = [most_samples]
    while numbers[0] > _FIRST_SAMPLES:
        numbers.insert(0, max(_FIRST_SAMPLES, numbers[0] // _GROWTH))
    return [Effort(number, max(1, int(_OWN_SHARE * number))) for number in numbers]


def _annealed_efforts(most_samples: int) -> list[AnnealedEffort]:
    """Return efforts that take about twice as many evaluations of the network: many chains, or many bridges."""
    root = math.isqrt(most_samples)
    return [
        AnnealedEffort(chains, max(2, chains // 8), bridges=Bridges(max(1, 2 * most_samples // chains)))
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
