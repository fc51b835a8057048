"""The decoders that are tried at a layer, and the division of the queries between choice and evaluation.

Queries of the first half of the passes with queries choose a decoder, and queries of the second half evaluate it:
neither the decoders nor the choice depend on the second half.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.estimators.classes import Classes
from layerbits.estimators.dropout_decoders import decoders_of
from layerbits.estimators.fitted_decoder import CallerDecoder
from layerbits.estimators.line_gaussians import LineGaussians
from layerbits.estimators.log_densities import LogDensities, Queries, mixed
from layerbits.estimators.plug_in_bound import PlugIn
from layerbits.mixtures import means_of
from layerbits.statistics import ByCondition

# Largest number of queries that compare decoders: enough to resolve differences of a few hundredths of a nat.
_MAX_TRIAL_QUERIES = 2048

# Weight of the mixture of draws in "Gaussian and mixture": the mixture helps where the Gaussian is far off, and costs
# little elsewhere.
_MIXTURE_WEIGHT = 0.1


@dataclasses.dataclass(frozen=True)
class TrialSplit:
    """Division of queries: the first passes of some inputs choose a decoder, the other passes evaluate it.

    Attributes
    ----------
    queries : Queries
        All queries, (N, q).
    inputs : integer array of shape (n,)
        The inputs whose queries choose.
    passes : int
        Number of passes whose queries choose.
    """

    queries: Queries
    inputs: Integers
    passes: int

    @classmethod
    def random(cls, queries: Queries, generator: np.random.Generator) -> TrialSplit:
        """Split the passes in half; the trial inputs are random, because the inputs may be sorted."""
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

    @functools.cached_property
    def both(self) -> Queries:
        """The trial queries and then the final queries, as (m, 1)."""
        trial, final = self.trial, self.final
        return dataclasses.replace(
            self.queries,
            points=torch.cat([trial.points.flatten(0, 1), final.points.flatten(0, 1)])[:, None],
            bases=torch.cat([trial.bases.flatten(0, 1), final.bases.flatten(0, 1)])[:, None],
            noise_log_density=np.append(trial.noise_log_density, final.noise_log_density)[:, None],
            inputs=np.append(trial.inputs.repeat(trial.shape[1]), final.inputs.repeat(final.shape[1])),
        )

    def trial_of_both(self, values: Doubles) -> Doubles:
        """Return values at the trial queries from values at `both`."""
        return values[: math.prod(self.trial.shape)].reshape(self.trial.shape)

    def final_of_both(self, values: Doubles) -> Doubles:
        """Return values at the final queries from values at `both`."""
        return values[math.prod(self.trial.shape) :].reshape(self.final.shape)

    def trial_values(self, values: Doubles) -> Doubles:
        """Return values at the trial queries from values at all queries."""
        return values[self.inputs][:, : self.passes]

    def final_values(self, values: Doubles) -> Doubles:
        """Return values at the final queries from values at all queries."""
        return values[:, self.passes :]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A decoder: its log densities at the trial queries, and a function that computes them at the final queries.

    `is_density` says whether the log densities are those of T; otherwise only their differences have a meaning.
    """

    name: str
    at_trial: LogDensities
    evaluate: Callable[[], LogDensities]
    is_density: bool = True

    @functools.cached_property
    def at_final(self) -> LogDensities:
        """Log densities at the final queries, computed at first use."""
        return self.evaluate()


def candidates(split: TrialSplit, draws: Tensor, plug_in: PlugIn, classes: Classes) -> Iterator[Candidate]:
    """Yield the decoders of a layer, each made when the iteration reaches it."""
    mixture = Candidate(
        "mixture",
        plug_in.mixture.map(split.trial_values),
        functools.partial(plug_in.mixture.map, split.final_values),
    )
    yield mixture
    for decoder in decoders_of(draws, classes, split.queries):
        if isinstance(decoder, LineGaussians):  # one call takes little longer than the call for the trial
            at_both = decoder.log_densities(split.both)
            evaluate = functools.partial(at_both.map, split.final_of_both)
            candidate = Candidate(decoder.name, at_both.map(split.trial_of_both), evaluate)
        else:
            evaluate = functools.partial(decoder.log_densities, split.final)
            candidate = Candidate(decoder.name, decoder.log_densities(split.trial), evaluate)
        yield candidate
        if decoder.name == "Gaussian":
            yield Candidate(
                "Gaussian and mixture",
                _mix(candidate.at_trial, mixture.at_trial),
                functools.partial(_mix_final, candidate, mixture),
            )


def caller_candidates(
    split: TrialSplit, draws: Tensor, callers: Sequence[CallerDecoder], classes: Classes
) -> Iterator[Candidate]:
    """Yield the decoders of the caller, each fitted to the draws (N, r, d) when the iteration reaches it."""
    for caller in callers:
        queries = split.queries
        fitted = caller.fitted(means_of(draws), queries.sigma, classes, queries.workers.processes)
        evaluate = functools.partial(fitted.log_densities, split.final)
        yield Candidate(fitted.name, fitted.log_densities(split.trial), evaluate, is_density=False)


def _mix_final(candidate: Candidate, mixture: Candidate) -> LogDensities:
    return _mix(candidate.at_final, mixture.at_final)


def _mix(log_densities: LogDensities, mixture: LogDensities) -> LogDensities:
    return ByCondition(
        given_input=mixed(log_densities.given_input, mixture.given_input, _MIXTURE_WEIGHT),
        given_class=mixed(log_densities.given_class, mixture.given_class, _MIXTURE_WEIGHT),
        marginal=mixed(log_densities.marginal, mixture.marginal, _MIXTURE_WEIGHT),
    )
