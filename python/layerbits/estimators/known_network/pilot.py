"""Choices by the pilot: the samples of a query, and the scores of the decoder of each quantity.

The pilot's queries are other queries than the final ones, so the choices do not depend on the final queries.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network.density_estimates import DensityEstimates, Effort, ScoredQueries
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.settings import KnownNetworkSettings
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
    decoders : sequence of mappings of str to DecoderChoice
        For each label set, the decoder of each information, by its name.
    expected_width : float
        Expected width of the final interval of I(X;T).
    """

    queries: KnownQueries
    estimates: DensityEstimates
    effort: Effort
    decoders: Sequence[Mapping[str, DecoderChoice]]
    expected_width: float

    @classmethod
    def of(
        cls,
        proposals: Proposals,
        at: ScoredQueries,
        label_sets: Sequence[Classes],
        settings: KnownNetworkSettings,
        width_of_bets: float,
    ) -> Pilot:
        """Choose the number of samples, which I(X;T) decides, and the decoders of each label set.

        `width_of_bets` is the width of the interval that the final queries leave, in standard deviations of a term.
        """
        total, efforts = label_sets[0].quantities[0], _efforts(settings)
        seed = derived_seed(proposals.seed, RandomStream.KNOWN_PILOT_SEED)
        of_efforts = DensityEstimates.of(proposals, at.queries, at.scores, efforts, seed)
        chosen, previous_gap, expected_width = 0, np.inf, np.inf
        for chosen, estimates in enumerate(of_efforts):  # noqa: B007 (the last index is used)
            decoder = _best_choice(total, estimates, at.queries, label_sets[0])
            confusion = confusions(total, estimates, at.queries.rows, label_sets[0])
            decoded = _mixed_terms(decoder, total, estimates, at.queries, label_sets[0])
            gap = label_sets[0].ceilings[total.name] - float(confusion.mean() + decoded.mean())
            width = width_of_bets * float(decoded.std())
            expected_width = max(gap, 0.0) + width
            if gap < _SMALL_SHARE * width or previous_gap - gap < _SMALL_STEP:
                break
            previous_gap = gap
        estimates = of_efforts[chosen]
        decoders = [
            {
                quantity.name: _best_choice(quantity, estimates, at.queries, classes)
                for quantity in classes.quantities
                if not quantity.is_entropy
            }
            for classes in label_sets
        ]
        return cls(at.queries, estimates, efforts[chosen], decoders, expected_width)


def _efforts(settings: KnownNetworkSettings) -> list[Effort]:
    """Return efforts whose numbers of samples grow up to the largest one."""
    numbers = [settings.samples]
    while numbers[0] > _FIRST_SAMPLES:
        numbers.insert(0, max(_FIRST_SAMPLES, numbers[0] // _GROWTH))
    return [Effort(number, max(1, int(_OWN_SHARE * number)), settings.least_share) for number in numbers]


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
