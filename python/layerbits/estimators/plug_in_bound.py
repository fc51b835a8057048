"""The plug-in: densities replaced by mixtures of the draws, queries taken from them, and a jackknife of the error.

Some of the draws carry the queries, the others make the densities of decoders, for which those queries are fresh: one
set of sums serves both. The plug-in is of all draws.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.estimators.log_densities import Queries, Surprisals, class_sizes, log_sum, mixture_sums, own_sums
from layerbits.statistics import JackknifeMean

# Of the parts of an input's draws, one left out must leave two: one alone says nothing of how p(t|x) varies. With
# fewer, inputs are left out instead, which can only overstate the error: they are not drawn, and differ by themselves.
_FEWEST = 3

# More parts than this would refine the error of the error only, at a cost that grows with them.
_MOST = 8


@dataclasses.dataclass(frozen=True)
class Entropies:
    """h(T), h(T|Y) and h(T|X), each minus the entropy of the noise."""

    by_input: JackknifeMean
    by_class: JackknifeMean
    marginal: JackknifeMean


def exact_surprisals(queries: Queries, centers: Tensor, classes: Integers | None, sigma: float) -> Surprisals:
    """Return the surprisals of a layer behind no noise, whose centers (N, 1, d) say all."""
    pooled, in_class = mixture_sums(queries, centers, classes, sigma)
    sizes = class_sizes(classes, queries.inputs, len(centers))
    return Surprisals.from_sums(queries.noise, (queries.noise, in_class, pooled), (1, sizes, len(centers)))


def plug_in(queries: Queries, draws: Tensor, classes: Integers | None, sigma: float) -> tuple[Entropies, Surprisals]:
    """Return the plug-in entropies of all draws, and the surprisals at the queries by the mixture of `draws` alone.

    Parameters
    ----------
    queries : Queries
        Of shape (N, q); their bases are draws too.
    draws : Tensor of shape (N, r, d)
        The others, r >= q.
    """
    n, q = queries.shape
    r = draws.shape[1]
    parts = min(q, _MOST)
    own_of_draws, own_of_bases = (own_sums(queries, one, parts, sigma) for one in (draws, queries.bases))
    of_draws, of_bases = (mixture_sums(queries, one, classes, sigma) for one in (draws, queries.bases))
    sizes = class_sizes(classes, queries.inputs, n)

    own = log_sum(own_of_draws)
    fresh = Surprisals.from_sums(queries.noise, (own, of_draws[1], of_draws[0]), (r, sizes * r, n * r))

    own_parts = np.logaddexp(own_of_draws, own_of_bases)
    own = log_sum(own_parts)
    pooled, in_class = (np.logaddexp(*both) for both in zip(of_draws, of_bases, strict=True))
    cuts = np.arange(parts + 1) * q // parts
    sizes_of_parts = np.diff(np.arange(parts + 1) * r // parts) + np.diff(cuts)

    def entropy(sums: Doubles, members: Doubles | float) -> JackknifeMean:
        """Return the mean of a surprisal by a mixture of `members` inputs that holds the query's own."""
        terms = queries.noise - sums + np.log(members * (r + q))
        if q < _FEWEST:
            return JackknifeMean.of_terms(terms.mean(1, keepdims=True))
        # Of a part that is left out: what the draws of each part weigh then, and the queries that are still asked.
        weights = (1 - np.eye(parts)) * (r + q) / (r + q - sizes_of_parts)[:, None]
        asked = np.ones((parts, q), bool)
        for part, (first, last) in enumerate(pairwise(cuts)):
            asked[part, first:last] = False
        # An input keeps its weight in the mixture when a part of its draws is left out: the rest weighs more. What is
        # left of the density vanishes at no query that is asked, for its own draw is in the rest.
        others = -np.expm1(np.minimum(own - sums, 0))
        left = others + np.tensordot(weights, np.exp(own_parts - sums), 1)
        logs = np.log(np.where(asked[:, None], left, 1))
        means = np.einsum("pnq,pq->np", terms - logs, asked / asked.sum(1, keepdims=True))
        return JackknifeMean(float(terms.mean()), (means - terms.mean(1, keepdims=True),))

    entropies = Entropies(by_input=entropy(own, 1), by_class=entropy(in_class, sizes), marginal=entropy(pooled, n))
    return entropies, fresh
