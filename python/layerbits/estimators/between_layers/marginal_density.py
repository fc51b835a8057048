"""Log densities of T_l at queries: one of a mixture that holds the query, and one of other passes alone."""

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

# Number of queries by which a density is chosen: enough to see differences that matter, at a fraction of the cost.
_CHOOSING_QUERIES = 1024


def marginal_log_densities(
    queries: Queries, pool: Tensor, evaluated: int, generator: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """Return log densities (n, evaluated): of the mixture of pool and bases, and of the best density of the pool.

    The first `evaluated` queries of every input are evaluated. The other queries choose the density of the pool.
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
    of_pool = mixture(final)
    pool_log_sums = of_pool + final.noise + math.log(n_inputs * n_draws)
    base_log_sums = mixture_log_sums(final, final.bases, classes)[1]
    n_components = n_inputs * (n_draws + evaluated)
    of_all = np.logaddexp(pool_log_sums, base_log_sums) - math.log(n_components) - final.noise
    return of_all, of_pool if best is mixture else best(final)


def _mixture_log_density(pool: Tensor, classes: Classes, queries: Queries) -> Doubles:
    log_sums = mixture_log_sums(queries, pool, classes)[1]
    return log_sums - math.log(len(pool) * pool.shape[1]) - queries.noise


def _decoder_log_density(decoder: Decoder, queries: Queries) -> Doubles:
    return decoder.log_densities(queries).marginal
