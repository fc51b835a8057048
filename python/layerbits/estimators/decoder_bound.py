"""Decoder bounds: information from below, entropies from above, each with the certified end of an interval.

For any decoder q(x|t) that the query T did not help to make (Barber and Agakov, The IM Algorithm, 2003),

    I(X;T) >= E log [q(X|T) / p(X)],

and with densities q(t|x), q(x|t) = q(t|x) / sum_x' q(t|x'). Likewise h(T|X) <= -E log q(T|x) and h(T) <= -E log q(T).
The terms at queries of fresh passes are independent, so a confidence bound for their mean is the end of an interval.

The end is a bet (`layerbits.statistics`), not a normal interval: a normal interval misses confusions rarer than one
query in all, and such confusions are all the uncertainty of a saturated layer. A betting bound holds for any number of
bounded terms of any law, at 1.4 times the width. There is one stake for each pass, not for each term, because inputs
differ in expectation. Terms are bounded below after `mix_with_prior`: the decoder falls back on p(x) with a small
weight.

The decoder is chosen by the first half of the passes with queries, and evaluated on the second half.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoders import decoders
from layerbits.estimators.log_densities import LogDensities, Queries, mixed, terms
from layerbits.estimators.plug_in_bound import PlugIn
from layerbits.statistics import (
    QUANTITIES,
    ByCondition,
    JackknifeMean,
    Quantity,
    lower_mean_bound,
    mix_with_prior,
    split_passes,
    unseen_probability,
    upper_mean_bound,
)

# Largest number of queries by which decoders are compared: enough to see differences of a few hundredths.
_MAX_TRIAL_QUERIES = 2048

# Weight of the mixture of draws in the Gaussian decoder that has a share of it: it helps where the Gaussian is far off,
# and costs little.
_MIXTURE_WEIGHT = 0.1

# Gap to the plug-in bound, in nats, below which no more decoders are tried.
_SMALL_GAP = 0.01


_INFORMATION = QUANTITIES[0]  # I(X;T)


@dataclasses.dataclass(frozen=True)
class TrialSplit:
    """Division of queries: the first passes of some inputs choose a decoder, the other passes evaluate it.

    Attributes
    ----------
    queries : Queries
        All queries, (N, q).
    inputs : integer array
        Inputs of the trial.
    passes : int
        Number of passes of the trial.
    """

    queries: Queries
    inputs: Integers
    passes: int

    @classmethod
    def random(cls, queries: Queries, generator: np.random.Generator) -> TrialSplit:
        """Return half of the passes, and inputs chosen at random, because the inputs may be sorted."""
        n_inputs, n_passes = queries.shape
        passes = n_passes // 2
        n_trial = max(1, _MAX_TRIAL_QUERIES // max(1, passes))
        return cls(queries, np.sort(generator.permutation(n_inputs)[:n_trial]), passes)

    @functools.cached_property
    def trial(self) -> Queries:
        """The queries that choose a decoder."""
        return self.queries.select(self.inputs, slice(self.passes))

    @functools.cached_property
    def final(self) -> Queries:
        """The queries that evaluate the decoder."""
        return self.queries.select(slice(None), slice(self.passes, None))

    def trial_values(self, values: Doubles) -> Doubles:
        """Return values at the trial queries from values at all queries."""
        return values[self.inputs][:, : self.passes]

    def final_values(self, values: Doubles) -> Doubles:
        """Return values at the final queries from values at all queries."""
        return values[:, self.passes :]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A decoder, its log densities at the trial queries, and a function for those at the final queries."""

    name: str
    at_trial: LogDensities
    evaluate: Callable[[], LogDensities]

    @functools.cached_property
    def at_final(self) -> LogDensities:
        """Log densities at the final queries, computed when they are needed."""
        return self.evaluate()


@dataclasses.dataclass(frozen=True)
class DecoderBound:
    """The bound of a quantity by the decoder that was best on trial.

    Attributes
    ----------
    decoder : str
        Name of the decoder.
    mean : JackknifeMean
        Mean of the final terms: below an information, above an entropy, in expectation.
    end : float
        Confidence bound of that mean: the lower end of an information, the upper end of an entropy.
    cost : float
        Largest loss of the mean, in nats, to the prior that bounds its terms.
    """

    decoder: str
    mean: JackknifeMean
    end: float
    cost: float


@dataclasses.dataclass(frozen=True)
class DecoderBounds:
    """Decoders, and the bounds of every quantity by the best of them.

    Attributes
    ----------
    candidates : tuple of Candidate
    wide : tuple of two arrays
        Log densities of one wide Gaussian at the trial queries and at the final ones: a prior for T.
    classes : Classes
    risk : float
        Probability with which a bound may be wrong.
    weight : float
        Weight of the priors that bound the terms.
    """

    candidates: tuple[Candidate, ...]
    wide: tuple[Doubles, Doubles]
    classes: Classes
    risk: float
    weight: float

    @classmethod
    def of(cls, split: TrialSplit, draws: Tensor, plug_in: PlugIn, classes: Classes, risk: float) -> DecoderBounds:
        """Try the decoders made of draws (N, r, d), until one is close to the plug-in bound of I(X;T)."""
        weight = unseen_probability(math.prod(split.final.shape), risk)
        upper = plug_in.bound(_INFORMATION).value
        candidates: list[Candidate] = []
        for candidate in _candidates(split, draws, plug_in, classes):
            candidates.append(candidate)
            gap = upper - _trial_bound(candidate, _INFORMATION, weight)
            if len(candidates) > 1 and gap < _SMALL_GAP:
                break
        wide = _wide_log_density(split.trial, draws), _wide_log_density(split.final, draws)
        return cls(tuple(candidates), wide, classes, risk, weight)

    def bound(self, quantity: Quantity) -> DecoderBound:
        """Bound an information from below, an entropy from above."""
        candidate = max(self.candidates, key=lambda candidate: _trial_bound(candidate, quantity, self.weight))
        return self._entropy(quantity, candidate) if quantity.is_entropy else self._information(quantity, candidate)

    def _information(self, quantity: Quantity, candidate: Candidate) -> DecoderBound:
        """Bound the mean of log [q(x|t) / p(x)] from below."""
        trial, final = (
            mix_with_prior(terms(quantity, log_densities), self.weight)
            for log_densities in (candidate.at_trial, candidate.at_final)
        )
        floor, ceiling = math.log(self.weight), self.classes.ceilings[quantity.name]
        passes = [_pilot(trial, floor, ceiling), *split_passes(final)]
        end = lower_mean_bound(passes, floor=floor, ceiling=ceiling, risk=self.risk)
        return self._result(candidate, final, end)

    def _entropy(self, quantity: Quantity, candidate: Candidate) -> DecoderBound:
        """Bound the mean of -log q(t|A) from above, as far as no value of T lies further out than all queries."""
        trial, final = (
            terms(quantity, _with_priors(log_densities, wide, self.weight))
            for log_densities, wide in zip((candidate.at_trial, candidate.at_final), self.wide, strict=True)
        )
        ceiling = max(float(-wide.min(initial=0.0)) for wide in self.wide) - 2 * math.log(self.weight)
        passes = [_pilot(trial, 0.0, ceiling), *split_passes(final)]
        end = upper_mean_bound(passes, floor=0.0, ceiling=ceiling, risk=self.risk)
        return self._result(candidate, final, end)

    def _result(self, candidate: Candidate, final: Doubles, end: float) -> DecoderBound:
        return DecoderBound(candidate.name, JackknifeMean.of_terms(final), end, -math.log1p(-self.weight))


def _candidates(split: TrialSplit, draws: Tensor, plug_in: PlugIn, classes: Classes) -> Iterator[Candidate]:
    mixture = Candidate(
        "mixture",
        plug_in.mixture.map(split.trial_values),
        functools.partial(plug_in.mixture.map, split.final_values),
    )
    yield mixture
    for decoder in decoders(draws, classes, split.queries.sigma):
        evaluate = functools.partial(decoder.log_densities, split.final)
        candidate = Candidate(decoder.name, decoder.log_densities(split.trial), evaluate)
        yield candidate
        if decoder.name == "Gaussian":
            yield Candidate(
                "Gaussian and mixture",
                _mix(candidate.at_trial, mixture.at_trial),
                functools.partial(_mix_final, candidate, mixture),
            )


def _mix_final(candidate: Candidate, mixture: Candidate) -> LogDensities:
    return _mix(candidate.at_final, mixture.at_final)


def _mix(log_densities: LogDensities, mixture: LogDensities) -> LogDensities:
    return ByCondition(
        given_input=mixed(log_densities.given_input, mixture.given_input, _MIXTURE_WEIGHT),
        given_class=mixed(log_densities.given_class, mixture.given_class, _MIXTURE_WEIGHT),
        marginal=mixed(log_densities.marginal, mixture.marginal, _MIXTURE_WEIGHT),
    )


def _trial_bound(candidate: Candidate, quantity: Quantity, weight: float) -> float:
    """Return the bound of an information on trial, or minus that of an entropy: larger is tighter."""
    trial = terms(quantity, candidate.at_trial)
    if not trial.size:
        return 0.0
    return -float(trial.mean()) if quantity.is_entropy else float(mix_with_prior(trial, weight).mean())


def _pilot(trial: Doubles, floor: float, ceiling: float) -> Doubles:
    """Return terms that set the first stake: those of the trial, or without any the two extremes."""
    return trial.ravel() if trial.size > 1 else np.array([floor, ceiling])


def _with_priors(log_densities: LogDensities, wide: Doubles, weight: float) -> LogDensities:
    """Mix, with weight `weight`, p(t|x) and p(t|y) with p(t), and p(t) with a wide Gaussian: no density is tiny."""
    marginal = mixed(log_densities.marginal, wide, weight)
    return ByCondition(
        given_input=mixed(log_densities.given_input, marginal, weight),
        given_class=mixed(log_densities.given_class, marginal, weight),
        marginal=marginal,
    )


def _wide_log_density(queries: Queries, draws: Tensor) -> Doubles:
    """Return the log density of one Gaussian with the noise and twice the mean variance of draws (N, r, d)."""
    centers = draws[:, 0].double()  # a draw of each input shows the variance
    mean, variance = centers.mean(0), queries.sigma**2 + 2 * centers.var(0, correction=0).mean()
    squares = (queries.points - mean).square().sum(-1)
    surprise = squares / variance + draws.shape[2] * (variance / queries.sigma**2).log()
    return -surprise.numpy(force=True) / 2 - queries.noise
