"""Entropies of the mixtures of a layer from one sample of its signals, with jackknives of their errors.

In NumPy: for arrays of this size torch's threads cost more than they bring, most of all on a busy machine.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from layerbits.kernels import as_sigma, log_sum_exp
from layerbits.randomness import fill_standard_normal, stream

Floats = npt.NDArray[Any]  # float32 or float64
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Of the parts of an input's draws, one left out must leave two: one alone says nothing of how p(t|x) varies. With
# fewer, inputs are left out instead, which can only overstate the error: they are not drawn, and differ by themselves.
_FEWEST = 3

# More parts than this would refine the error of the error only, at a cost that grows with them.
_MOST = 8


@dataclasses.dataclass(frozen=True)
class JackknifeMean:
    """A mean over inputs and queries, and its jackknife replicates (n_inputs, queries), a part of an input left out."""

    value: float
    replicates: tuple[Doubles, ...]  # one array for each independent sample that the value is made of

    def plus(self, constant: float) -> JackknifeMean:
        """Return the mean shifted by a constant."""
        return dataclasses.replace(self, value=self.value + constant)

    def minus(self, other: JackknifeMean, *, same_sample: bool) -> JackknifeMean:
        """Return the difference of two means, of one sample or of two independent ones."""
        if same_sample:
            pairs = zip(self.replicates, other.replicates, strict=True)
            return JackknifeMean(self.value - other.value, tuple(a - b for a, b in pairs))
        return JackknifeMean(self.value - other.value, self.replicates + other.replicates)

    @property
    def standard_error(self) -> float:
        """In nats, from all samples."""
        return math.sqrt(sum(_jackknife_variance(sample) for sample in self.replicates))


def _jackknife_variance(replicates: Doubles) -> float:
    n_inputs, queries = replicates.shape
    return float(np.var(replicates, axis=1).sum() * (queries - 1) / n_inputs**2)


@dataclasses.dataclass(frozen=True)
class Entropies:
    """h(T), h(T|Y) and h(T|X), from one sample, each minus the entropy of the noise."""

    marginal: JackknifeMean
    by_class: JackknifeMean
    by_input: JackknifeMean


def sample_entropies(
    centers: Floats, classes: Integers | None, sigma: float, queries: int, key: tuple[int, int, int]
) -> Entropies:
    """Compare the densities p(t), p(t|y) and p(t|x) at `queries` points of every input.

    Queries start from draws evenly apart. The draws of an input form parts, one for each query or group of queries;
    leaving out a part with its queries gives the replicates. A single draw, which is exact, is one part that all
    queries share.
    """
    n_inputs, draws, _ = centers.shape
    starts = [q * draws // queries for q in range(queries)]
    n_parts = min(queries, _MOST) if draws > 1 else 1
    cuts = [part * queries // n_parts for part in range(n_parts + 1)]  # of the queries
    parts = [starts[cut] for cut in cuts[:-1]] + [draws]  # of the draws

    bases = centers[:, starts]
    points = np.empty(bases.shape, bases.dtype)
    fill_standard_normal(points, stream(*key))
    points *= sigma
    points += bases
    # From the points as they were rounded, so that it cancels against the same term of the sums.
    own_term = -np.square((points - bases.astype(np.float64)) / sigma).sum(-1) / 2

    own_parts = _own_log_sums(points, centers, parts, sigma)  # (part, n_inputs, query)
    own = np.logaddexp.reduce(own_parts)
    pooled, in_class, class_sizes = _class_log_sums(points, centers, classes, sigma)

    def entropy(log_sum: Doubles, members: Doubles | float) -> JackknifeMean:
        """Return the mean of own_term - log density, of a mixture of `members` inputs that holds the query's own."""
        terms = own_term - log_sum + np.log(members * draws)
        if draws == 1:
            return JackknifeMean(float(terms.mean()), (_means_of_others(terms),))
        if queries < _FEWEST:
            return JackknifeMean(float(terms.mean()), (_means_of_others(terms.mean(1)[None]),))
        # Of a part that is left out: what the draws of each part weigh then, and the queries that are still asked.
        weights = (1 - np.eye(n_parts)) * draws / (draws - np.diff(parts))[:, None]
        asked = np.ones((n_parts, queries), bool)
        for part, (first, last) in enumerate(pairwise(cuts)):
            asked[part, first:last] = False
        # An input keeps its weight in the mixture when a part of its draws is left out: the rest weighs more. What is
        # left of the density vanishes at no query that is asked, for its own draw is in the rest.
        others = -np.expm1(np.minimum(own - log_sum, 0))
        left = others + np.tensordot(weights, np.exp(own_parts - log_sum), 1)
        logs = np.log(left, where=asked[:, None], out=np.zeros_like(left))
        means = np.where(asked[:, None], terms - logs, 0).sum(2) / asked.sum(1)[:, None]
        return JackknifeMean(float(terms.mean()), (means.T,))

    return Entropies(
        marginal=entropy(pooled, n_inputs), by_class=entropy(in_class, class_sizes), by_input=entropy(own, 1)
    )


def _means_of_others(values: Doubles) -> Doubles:
    """Return the mean of each row of (n, k) without the value in question, shape (n, k)."""
    means: Doubles = (values.sum(1, keepdims=True) - values) / (values.shape[1] - 1)
    return means


def _own_log_sums(points: Floats, centers: Floats, parts: Sequence[int], sigma: float) -> Doubles:
    """Log-sums of every query over each part of its input's draws, shape (part, n_inputs, query)."""
    n_inputs, queries, dim = points.shape
    n_parts, draws = len(parts) - 1, centers.shape[1]
    first = np.arange(n_inputs)[:, None] * draws + np.asarray(parts[:-1])
    log_sums = log_sum_exp(
        torch.from_numpy(np.repeat(points, n_parts, axis=0).reshape(-1, dim)),
        torch.from_numpy(centers.reshape(-1, dim)),
        as_sigma(sigma),
        point_offsets=torch.arange(n_inputs * n_parts + 1) * queries,
        center_offsets=torch.from_numpy(np.append(first, n_inputs * draws)),
    )
    return np.ascontiguousarray(log_sums.numpy().reshape(n_inputs, n_parts, queries).swapaxes(0, 1))


def _class_log_sums(
    points: Floats, centers: Floats, classes: Integers | None, sigma: float
) -> tuple[Doubles, Doubles, Doubles | float]:
    """Log-sums of every query over all centers and over those of its class, each (n_inputs, queries); class sizes.

    The sum over all is put together from the classes, so that labels cost no pair more.
    """
    n_inputs, queries, dim = points.shape
    flat = torch.from_numpy(points.reshape(-1, dim))

    def over(some: Floats) -> Doubles:
        found: Doubles = log_sum_exp(flat, torch.from_numpy(some.reshape(-1, dim)), as_sigma(sigma)).numpy()
        return found.reshape(n_inputs, queries)

    if classes is None:
        pooled = over(centers)
        return pooled, pooled, n_inputs
    pooled = np.full((n_inputs, queries), -np.inf)
    in_class = np.empty_like(pooled)
    for one in range(len(sizes := np.bincount(classes))):
        mine = classes == one
        log_sums = over(centers[mine])
        pooled = np.logaddexp(pooled, log_sums)
        in_class[mine] = log_sums[mine]
    return pooled, in_class, sizes[classes][:, None].astype(np.float64)
