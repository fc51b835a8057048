"""Log densities of T_l at queries, from a mixture that holds the query's own signal and from other passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoders import Decoder, decoders
from layerbits.estimators.log_densities import Queries, mixture_log_sums

# Number of queries that choose a density: enough to compare the densities, at a fraction of the cost.
_CHOOSING_QUERIES = 1024


def marginal_log_densities(
    queries: Queries, pool: Tensor, evaluated: int, generator: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """Return log p^(t) and log q(t) at the first `evaluated` queries of each input, (n, evaluated).

    Both are relative to the log density of the query's noise. p^ is the mixture of the pool (n, r, d) and of the
    signals of these queries; q is the mixture of the pool or a decoder density made of the pool, chosen by the other
    queries.
    """
    n_inputs, n_queries = queries.shape
    n_draws = pool.shape[1]
    # Inputs are chosen at random, because they may be sorted.
    inputs = np.sort(generator.permutation(n_inputs)[: -(-_CHOOSING_QUERIES // (n_queries - evaluated))])
    trial = queries.select(inputs, slice(evaluated, None))
    final = queries.select(slice(None), slice(evaluated))
    classes = Classes.of(None, n_inputs)
    mixture = partial(_mixture_log_density, pool, classes)
    densities: list[Callable[[Queries], Doubles]] = [mixture]
    densities += [partial(_decoder_log_density, decoder) for decoder in decoders(pool, classes, queries.sigma)]
    best = max(densities, key=lambda density: float(density(trial).mean()))
    log_pool = mixture(final)
    pool_log_sums = log_pool + final.noise_log_density + math.log(n_inputs * n_draws)
    base_log_sums = mixture_log_sums(final, final.bases, classes)[1]
    n_components = n_inputs * (n_draws + evaluated)
    log_p = np.logaddexp(pool_log_sums, base_log_sums) - math.log(n_components) - final.noise_log_density
    return log_p, log_pool if best is mixture else best(final)


def _mixture_log_density(pool: Tensor, classes: Classes, queries: Queries) -> Doubles:
    log_sums = mixture_log_sums(queries, pool, classes)[1]
    return log_sums - math.log(len(pool) * pool.shape[1]) - queries.noise_log_density


def _decoder_log_density(decoder: Decoder, queries: Queries) -> Doubles:
    return decoder.log_densities(queries).marginal
