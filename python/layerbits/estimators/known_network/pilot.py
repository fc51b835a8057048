"""Choices by the pilot: the samples of a query, and the scores of the decoder of each quantity.

The pilot's queries are other queries than the final ones, so the choices do not depend on the final queries.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network.density_estimates import DensityEstimates, Effort, scores_of
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.terms import confusions, decoder_scores, decoder_terms
from layerbits.kernels import RandomStream, derived_seed
from layerbits.statistics import Quantity, mix_with_prior

# The number of samples grows by this factor until the gap between the bounds of I(X;T) is below the small gap, or
# shrinks by less than the small step (nats).
_FIRST_SAMPLES, _GROWTH = 16, 4
_SMALL_GAP, _SMALL_STEP = 0.02, 0.02

# The input that made a query gets at least this share of the samples that are divided among all inputs.
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
    def of(cls, proposals: Proposals, queries: KnownQueries, classes: Classes, most_samples: int) -> Pilot:
        """Raise the number of samples step by step up to `most_samples`, and choose the decoders."""
        scores = scores_of(proposals, queries)
        information = [quantity for quantity in classes.quantities if not quantity.is_entropy]
        shared, previous_gap = min(_FIRST_SAMPLES, most_samples), np.inf
        for step in itertools.count():
            effort = Effort(shared, max(1, int(_OWN_SHARE * shared)))
            seed = derived_seed(proposals.seed, RandomStream.KNOWN_PILOT_SEED, step)
            estimates = DensityEstimates.of(proposals, queries, scores, effort, seed)
            decoders = {quantity.name: _best_choice(quantity, estimates, queries, classes) for quantity in information}
            total = information[0]
            confusion = float(confusions(total, estimates, queries.rows, classes).mean())
            lower = float(_mixed_terms(decoders[total.name], total, estimates, queries, classes).mean())
            gap = classes.ceilings[total.name] - confusion - lower
            if shared == most_samples or gap < _SMALL_GAP or previous_gap - gap < _SMALL_STEP:
                return cls(queries, estimates, effort, decoders)
            shared, previous_gap = min(_GROWTH * shared, most_samples), gap
        raise AssertionError("unreachable")


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
