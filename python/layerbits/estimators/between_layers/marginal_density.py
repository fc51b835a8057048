"""Log densities of T_l at queries, from a mixture that holds the query's own signal and from other passes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor

from layerbits._base import Doubles, Integers, log_add_exp
from layerbits.estimators.between_layers.pair_sample import PairSample
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder import Decoder
from layerbits.estimators.dropout_decoders import decoders_of
from layerbits.estimators.log_densities import Queries, mixed, mixture_log_sums
from layerbits.estimators.wide_density import WideDensity

# Number of queries that choose a density: enough to compare the densities, at a fraction of the cost.
_CHOOSING_QUERIES = 1024


@dataclasses.dataclass(frozen=True)
class MarginalDensities:
    """Log densities of T_l relative to the log density of the query's noise.

    Attributes
    ----------
    plug_in : array of shape (n, evaluated)
        log p^(t) at the final queries: the mixture of the pool and of the signals of these queries.
    bounded : array of shape (n, evaluated)
        log q(t) at the final queries: a density made of the pool, mixed with a wide density, so that log q(t) is at
        least -`largest_surprisal`.
    bounded_at_trial : array of shape (m, trial)
        log q(t) at the trial queries of `trial_inputs`.
    trial_inputs : integer array of shape (m,)
        The inputs whose queries chose q.
    largest_surprisal : float
        Upper bound of log(r(t) / q(t)) over all t and all signals s, with r the density of s plus noise.
    omitted : array of shape (n, q)
        Terms of the omitted dimensions at all queries, which bound the entropy of T_l beyond that of its noise.
    largest_omitted : float
        Upper bound of these terms.
    tail_assumed : bool
        Whether the bounds assume a largest distance of signals from their center.
    """

    plug_in: Doubles
    bounded: Doubles
    bounded_at_trial: Doubles
    trial_inputs: Integers
    largest_surprisal: float
    omitted: Doubles
    largest_omitted: float
    tail_assumed: bool


def marginal_log_densities(
    sample: PairSample, evaluated: int, weight: float, generator: np.random.Generator
) -> MarginalDensities:
    """Return log densities of T_l; the first `evaluated` queries of an input are final, the others choose q.

    `weight` is that of the wide density in q.
    """
    queries, pool = sample.queries, sample.pool
    n_inputs, n_queries = queries.shape
    n_draws = pool.shape[1]
    # Inputs are chosen at random, because they may be sorted.
    inputs = np.sort(generator.permutation(n_inputs)[: -(-_CHOOSING_QUERIES // (n_queries - evaluated))])
    trial = queries.select(inputs, slice(evaluated, None))
    final = queries.select(slice(None), slice(evaluated))
    classes = Classes.of(None, n_inputs)
    mixture = partial(_mixture_log_density, pool, classes)
    densities: list[Callable[[Queries], Doubles]] = [mixture]
    densities += [partial(_decoder_log_density, decoder) for decoder in decoders_of(pool, classes, queries)]
    best = max(densities, key=lambda density: float(density(trial).mean()))
    bases = queries.bases[:, evaluated:], queries.bases[:, :evaluated]
    wide = WideDensity.of(pool, bases, queries.sigma, sample.diameter, queries.alpha)
    log_pool = mixture(final)
    pool_log_sums = log_pool + final.noise_log_density + math.log(n_inputs * n_draws)
    base_log_sums = mixture_log_sums(final, final.bases, classes)[1]
    n_components = n_inputs * (n_draws + evaluated)
    omitted, largest_omitted = _omitted_terms(sample, evaluated, weight)
    return MarginalDensities(
        plug_in=log_add_exp(pool_log_sums, base_log_sums) - math.log(n_components) - final.noise_log_density,
        bounded=mixed(log_pool if best is mixture else best(final), wide.log_density(final), weight),
        bounded_at_trial=mixed(best(trial), wide.log_density(trial), weight),
        trial_inputs=inputs,
        largest_surprisal=wide.largest_log_ratio - math.log(weight),
        omitted=omitted,
        largest_omitted=largest_omitted,
        tail_assumed=wide.tail_assumed,
    )


def _omitted_terms(sample: PairSample, evaluated: int, weight: float) -> tuple[Doubles, float]:
    """Return the terms (n, q) of the omitted dimensions and an upper bound of all such terms; 0 if there are none.

    Signals without a known bound are assumed to lie at most 10 times as far from the subspace as those that choose q
    and the noise together.
    """
    if sample.omitted is None:
        return np.zeros(sample.queries.shape), 0.0
    omitted = sample.omitted.with_assumed_range(slice(evaluated, None), slice(evaluated))
    return omitted.terms(weight), omitted.largest_term(weight)


def _mixture_log_density(pool: Tensor, classes: Classes, queries: Queries) -> Doubles:
    log_sums = mixture_log_sums(queries, pool, classes)[1]
    return log_sums - math.log(len(pool) * pool.shape[1]) - queries.noise_log_density


def _decoder_log_density(decoder: Decoder, queries: Queries) -> Doubles:
    return decoder.log_densities(queries).marginal
