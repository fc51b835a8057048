"""Decoder bounds: information from below, entropies from above, each with a confidence bound, an end of the interval.

For any decoder q(x|t) that does not depend on the query T (Barber and Agakov, The IM Algorithm, 2003),

    I(X;T) >= E log [q(X|T) / p(X)].

Densities q(t|x) define the decoder q(x|t) = q(t|x) / sum_x' q(t|x'). Likewise h(T|X) <= -E log q(T|X) and
h(T) <= -E log q(T). Queries and decoder come from different passes, so the terms are independent given the decoder, and
a confidence bound for the mean of the terms is an end of the interval.

The confidence bound is a bet (`layerbits.statistics`), not a normal interval: a normal interval neglects events that
occur in none of the queries, which are the only uncertainty of a saturated layer. A bet holds for any number of bounded
terms of any law, at 1.4 times the width. There is one stake for each pass, not for each term, because the terms of
different inputs have different expectations. `mix_with_prior` bounds the terms from below: it mixes the decoder with a
little p(x).

Some queries of the first half of the passes choose the decoder, and all queries of the second half evaluate it
(`decoder_candidates`).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import numpy as np

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder_candidates import Candidate, TrialSplit, caller_candidates, candidates
from layerbits.estimators.log_densities import (
    LogDensities,
    mixed,
    mixture_log_densities,
    mixture_log_sums,
    own_log_sums,
    terms,
)
from layerbits.estimators.noisy_sample import NoisySample
from layerbits.estimators.omitted_dimensions import OmittedDimensions
from layerbits.estimators.plug_in_bound import PlugIn
from layerbits.estimators.wide_density import WideDensity
from layerbits.statistics import (
    QUANTITIES,
    ByCondition,
    Condition,
    JackknifeMean,
    Quantity,
    lower_mean_bound,
    mix_with_prior,
    split_passes,
    unseen_probability,
    upper_mean_bound,
)

# No more decoders are tried once the gap between a decoder bound and the plug-in bound is below this (nats).
_SMALL_GAP = 0.01

# Number of the first candidates, which are tried for a slice. On 256 slices of the SZT network the better of two was at
# most .006 nats below the best of all, and as good on average.
_CANDIDATES_OF_SLICE = 2

_INFORMATION = QUANTITIES[0]  # I(X;T)


@dataclasses.dataclass(frozen=True)
class DecoderBound:
    """The bound of a quantity by the decoder that is best at the trial queries.

    Attributes
    ----------
    decoder : str
        Name of the decoder.
    mean : JackknifeMean
        Mean of the terms at the final queries: below an information, above an entropy, in expectation.
    end : float
        Confidence bound for the mean: the lower end of an information, the upper end of an entropy.
    cost : float
        Mean loss of a term by mixing with a prior, in nats; a gain counts as a loss of 0.
    separated_end : float
        For an information, the end if every query were as informative as the ceiling; NaN for an entropy.
    tail_assumed : bool
        Whether the end of an entropy assumes a largest distance of signals from their center.
    """

    decoder: str
    mean: JackknifeMean
    end: float
    cost: float
    separated_end: float = math.nan
    tail_assumed: bool = False


@dataclasses.dataclass(frozen=True)
class DecoderBounds:
    """Decoders, and the bounds of every quantity by the best of them.

    Attributes
    ----------
    candidates : tuple of Candidate
        The decoders that were tried.
    split : TrialSplit
        The queries.
    wide : WideDensity or None
        The prior of T, for entropies; None for a slice.
    classes : Classes
        The classes of the inputs.
    risk : float
        Probability with which a bound may be wrong.
    weight : float
        Weight of the priors that bound the terms.
    omitted : OmittedDimensions or None
        Dimensions that the queries lack, whose terms the ends of entropies include.
    """

    candidates: tuple[Candidate, ...]
    split: TrialSplit
    wide: WideDensity | None
    classes: Classes
    risk: float
    weight: float
    omitted: OmittedDimensions | None = None

    @classmethod
    def of(
        cls, sample: NoisySample, split: TrialSplit, plug_in: PlugIn, classes: Classes, risk: float
    ) -> DecoderBounds:
        """Try decoders of the draws of a sample until, at the trial queries, a bound is near the plug-in of I(X;T).

        At least two decoders are tried if there are several draws, and then all decoders of the caller. `split` divides
        the queries of the sample.
        """
        draws, queries = sample.draws, sample.queries
        weight = unseen_probability(math.prod(split.final.shape), risk)
        possible = candidates(split, draws, plug_in, classes)
        if sample.is_slice:
            tried_candidates = list(itertools.islice(possible, _CANDIDATES_OF_SLICE))
        else:
            trial_plug_in = _trial_plug_in(split, draws.shape[1], plug_in, classes)
            tried_candidates = []
            for candidate in possible:
                tried_candidates.append(candidate)
                gap = trial_plug_in - _trial_bound(candidate, _INFORMATION, weight)
                if len(tried_candidates) > 1 and gap < _SMALL_GAP:
                    break
        tried_candidates += caller_candidates(split, draws, sample.callers, classes)
        wide = None
        if not sample.is_slice:
            bases = queries.bases[:, : split.passes], queries.bases[:, split.passes :]
            wide = WideDensity.of(draws, bases, queries.sigma, sample.diameter, queries.alpha)
        omitted = sample.omitted and sample.omitted.with_assumed_range(slice(split.passes), slice(split.passes, None))
        return cls(tuple(tried_candidates), split, wide, classes, risk, weight, omitted)

    def bound(self, quantity: Quantity, risk: float | None = None) -> DecoderBound:
        """Bound an information from below, an entropy from above; `risk` replaces the risk of an information's bound.

        The weight of the priors belongs to the whole risk, so bounds of several risks have the same terms.
        """
        possible = [candidate for candidate in self.candidates if candidate.is_density or not quantity.is_entropy]
        candidate = max(possible, key=lambda candidate: _trial_bound(candidate, quantity, self.weight))
        if quantity.is_entropy:
            return self._entropy_upper_bound(quantity, candidate)
        return self._information_lower_bound(quantity, candidate, self.risk if risk is None else risk)

    def _information_lower_bound(self, quantity: Quantity, candidate: Candidate, risk: float) -> DecoderBound:
        """Bound the mean of log [q(x|t) / p(x)] from below."""
        trial, final = (terms(quantity, log_densities) for log_densities in (candidate.at_trial, candidate.at_final))
        ceiling = self.classes.ceilings[quantity.name]
        end = _lower_end(trial, final, ceiling, self.weight, risk)
        separated_end = _separated_end(trial.shape, final.shape, ceiling, self.weight, risk)
        mixed_terms = mix_with_prior(final, self.weight)
        return _result(candidate, mixed_terms, final - mixed_terms, end, separated_end)

    def _entropy_upper_bound(self, quantity: Quantity, candidate: Candidate) -> DecoderBound:
        """Bound the mean of -log q(t|A) from above."""
        assert self.wide is not None
        pairs = ((candidate.at_trial, self.split.trial), (candidate.at_final, self.split.final))
        trial, final = (
            terms(quantity, _with_priors(log_densities, self.wide.log_density(queries), self.weight))
            for log_densities, queries in pairs
        )
        least_weight = self.weight if quantity.minuend is Condition.NONE else self.weight / 2
        ceiling = self.wide.largest_log_ratio - math.log(least_weight)
        all_trial, all_final = trial, final
        if self.omitted is not None:
            omitted_terms = self.omitted.terms(self.weight)
            all_trial, all_final = (
                trial + self.split.trial_values(omitted_terms),
                final + self.split.final_values(omitted_terms),
            )
            ceiling += self.omitted.largest_term(self.weight)
        passes = [_pilot(all_trial, 0.0, ceiling), *split_passes(all_final)]
        end = upper_mean_bound(passes, lower_limit=0.0, upper_limit=ceiling, risk=self.risk)
        result = _result(candidate, final, final - terms(quantity, candidate.at_final), end)
        return dataclasses.replace(result, tail_assumed=self.wide.tail_assumed)


def _lower_end(trial: Doubles, final: Doubles, ceiling: float, weight: float, risk: float) -> float:
    """Return the lower end of an information from its terms at the trial queries and at the final queries."""
    trial, final = (mix_with_prior(values, weight) for values in (trial, final))
    lower_limit = math.log(weight)
    passes = [_pilot(trial, lower_limit, ceiling), *split_passes(final)]
    return lower_mean_bound(passes, lower_limit=lower_limit, upper_limit=ceiling, risk=risk)


@functools.lru_cache(maxsize=16)  # the slices of a layer have one value
def _separated_end(trial: tuple[int, ...], final: tuple[int, ...], ceiling: float, weight: float, risk: float) -> float:
    """Return the lower end if all terms, of these shapes, are the ceiling."""
    return _lower_end(np.full(trial, ceiling), np.full(final, ceiling), ceiling, weight, risk)


def _result(
    candidate: Candidate, mixed_terms: Doubles, losses: Doubles, end: float, separated_end: float = math.nan
) -> DecoderBound:
    """Return the bound from terms that are mixed with priors, and from the losses of the terms by the mixing."""
    cost = float(np.maximum(losses, 0).mean())
    return DecoderBound(candidate.name, JackknifeMean.of_terms(mixed_terms), end, cost, separated_end)


def _trial_plug_in(split: TrialSplit, n_draws: int, plug_in: PlugIn, classes: Classes) -> float:
    """Return the plug-in bound of I(X;T) at the trial queries; infinite if there are none.

    Its mixture is made of the draws without queries and of the signals of the trial passes, because the final queries
    start from the other signals.
    """
    if not split.trial.points.numel():
        return math.inf
    bases = split.queries.bases[:, : split.passes].contiguous()
    own_sums = own_log_sums(split.trial, bases[split.inputs], parts=1)[0]
    log_sums = ByCondition(own_sums, *mixture_log_sums(split.trial, bases, classes))
    of_bases = mixture_log_densities(split.trial, classes, log_sums, split.passes)
    weight = split.passes / (split.passes + n_draws)
    given_input, marginal = (
        mixed(split.trial_values(plug_in.mixture[condition]), of_bases[condition], weight)
        for condition in (Condition.INPUT, Condition.NONE)
    )
    return float((given_input - marginal).mean())


def _trial_bound(candidate: Candidate, quantity: Quantity, weight: float) -> float:
    """Return the bound of an information, or minus the bound of an entropy, at the trial queries: larger is tighter."""
    trial = terms(quantity, candidate.at_trial)
    if not trial.size:
        return 0.0
    return -float(trial.mean()) if quantity.is_entropy else float(mix_with_prior(trial, weight).mean())


def _pilot(trial: Doubles, lower_limit: float, upper_limit: float) -> Doubles:
    """Return terms that set the first stake: the trial terms, or the two extremes if there are fewer than two terms."""
    return trial.ravel() if trial.size > 1 else np.array([lower_limit, upper_limit])


def _with_priors(log_densities: LogDensities, wide_log_density: Doubles, weight: float) -> LogDensities:
    """Mix densities with a wide density, with weight `weight`, to bound surprisals.

    Half of the weight of a density given x or y goes to p(t), which is better where the draws of x are not typical.
    """
    prior = mixed(log_densities.marginal, wide_log_density, 0.5)
    return ByCondition(
        given_input=mixed(log_densities.given_input, prior, weight),
        given_class=mixed(log_densities.given_class, prior, weight),
        marginal=mixed(log_densities.marginal, wide_log_density, weight),
    )
