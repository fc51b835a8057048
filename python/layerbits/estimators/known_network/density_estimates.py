"""Estimates of log p(t|x) at queries: unbiased from fresh samples, and tilted by the noise that made the query.

A sample has the weight of its noises, or, if chains take the place of samples, the weight of a chain.

The number of samples of a pair (t, x') follows from the scores N(t; m, C) of all inputs at t: it does not depend on
which input made t. Only the estimates of I(X;T), I(X;T|Y) and h(T|X) use further samples for the input that made t.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits.estimators.known_network.annealed_weights import AnnealedSampler
from layerbits.estimators.known_network.annealing import Bridges
from layerbits.estimators.known_network.proposals import InputModels, Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.weights import WeightSampler, log_means
from layerbits.kernels import RandomStream, derived_seed

# Weight of the prior of the noises in the proposal of bounded estimates. A larger weight wastes samples; a smaller one
# widens the range of the terms of h(T|X), which is about d / 2 - log(weight).
BOUNDED_PRIOR_WEIGHT = 0.05

# Samples of a bounded estimate, with the query's own noise.
_BOUNDED_SAMPLES = 16

# Number of models that `OwnEstimates` evaluates together, each at the queries of all of them; it limits the memory.
_OWN_MODELS = 64


@dataclasses.dataclass(frozen=True)
class Effort:
    """Numbers of samples of the estimates.

    Attributes
    ----------
    shared : int
        Samples of a query that are divided among the inputs by their scores.
    own : int
        Least number of samples of the input that made the query.
    least_share : float
        Inputs get no sample where their posterior probability by the scores, times N, is below this.
    power : float
        Samples are divided in proportion to this power of the posterior probability.
    """

    shared: int
    own: int
    least_share: float = 1e-3
    power: float = 0.5

    def counts(self, scores: Tensor) -> Tensor:
        """Return the number of samples of each pair of a query and an input, (q, N), from scores (q, N)."""
        posterior = torch.softmax(scores, dim=1)
        shares = torch.softmax(self.power * scores, dim=1)
        counts = (self.shared * shares).ceil().long()
        return counts * (posterior * scores.shape[1] >= self.least_share)

    def sampler(self, proposals: Proposals, seed: int) -> WeightSampler | AnnealedSampler:
        """Return the sampler of weights."""
        return WeightSampler(proposals, seed)


@dataclasses.dataclass(frozen=True)
class AnnealedEffort(Effort):
    """Numbers of chains of the estimates; the weights of chains take the place of those of samples.

    Attributes
    ----------
    bridges : Bridges
        The settings of the chains.
    """

    bridges: Bridges = dataclasses.field(default_factory=Bridges)

    def counts(self, scores: Tensor) -> Tensor:
        """Return the number of chains of each pair, (q, N), from scores (q, N): few inputs have any."""
        return (self.shared * torch.softmax(self.power * scores, dim=1)).round().long()

    def sampler(self, proposals: Proposals, seed: int) -> AnnealedSampler:
        """Return the sampler of weights."""
        return AnnealedSampler(proposals, seed, self.bridges)


@dataclasses.dataclass(frozen=True)
class DensityEstimates:
    """Estimates of log p(t|x') at q queries, without the term -d/2 log(2 pi).

    Attributes
    ----------
    scores : Tensor of shape (q, N)
        log N(t; m, C) of the linear models.
    counts : Tensor of shape (q, N)
        Numbers of samples, by the scores.
    fresh : Tensor of shape (q, N)
        Logarithms of means of weights of that many fresh samples; -inf without samples.
    tilted : Tensor of shape (q,)
        For the input that made the query: the same with the query's own noise in place of one of the samples; -inf
        without samples.
    tilted_more : Tensor of shape (q,)
        The same with at least `Effort.own` samples.
    fresh_more : Tensor of shape (q,)
        For the input that made the query: the estimate of as many fresh samples.
    bounded : Tensor of shape (q,)
        For the input that made the query: tilted estimates with the prior mixed into the proposal, at most
        -log(BOUNDED_PRIOR_WEIGHT).
    """

    scores: Tensor
    counts: Tensor
    fresh: Tensor
    tilted: Tensor
    tilted_more: Tensor
    fresh_more: Tensor
    bounded: Tensor

    def own(self, rows: Tensor) -> OwnEstimates:
        """Return the estimates for the inputs `rows` (q,) that made the queries."""
        return OwnEstimates(self.scores[torch.arange(len(rows)), rows], self.fresh_more, self.bounded)

    @classmethod
    def of(
        cls, proposals: Proposals, queries: KnownQueries, scores: Tensor, efforts: Sequence[Effort], seed: int
    ) -> list[DensityEstimates]:
        """Return the estimates of each effort, in one visit to the proposals.

        Parameters
        ----------
        scores : Tensor of shape (q, N)
            The scores, from `scores_of`.
        efforts : sequence of Effort
            In ascending order, and equal in all but numbers: each uses the first samples of the last one.
        seed : int
            A seed that no other final queries have.
        """
        indices = torch.arange(len(queries.rows))
        counts = [effort.counts(scores) for effort in efforts]
        own_lengths = [
            of_effort[indices, queries.rows].clamp(min=max(1, effort.own))
            for of_effort, effort in zip(counts, efforts, strict=True)
        ]
        sample_counts = counts[-1].T.clone()
        sample_counts[queries.rows, indices] = own_lengths[-1]
        fresh = [torch.empty_like(scores) for _ in efforts]
        samples = torch.full((len(indices), int(own_lengths[-1].max())), -math.inf, dtype=torch.float64)
        noise, bounded = torch.empty(2, len(indices), dtype=torch.float64)
        sampler = efforts[-1].sampler(proposals, seed)
        bounded_sampler = _bounded_sampler(proposals, seed)
        for models in proposals.batches():
            batch_counts = sample_counts[models.rows]
            log_weights, lengths = sampler.log_weights(models, queries, batch_counts), batch_counts.flatten()
            for of_effort, columns in zip(counts, fresh, strict=True):
                firsts = of_effort[:, models.rows].T.flatten()
                columns[:, models.rows] = log_means(log_weights, lengths, firsts).view(len(models.rows), -1).T
            own, own_noise = sampler.of_noises(models, queries)
            noise[own] = own_noise
            stops = lengths.cumsum(0).view(len(models.rows), -1)[queries.rows[own] - models.rows[0], own]
            for index, stop in zip(own.tolist(), stops.tolist(), strict=True):
                length = int(own_lengths[-1][index])
                samples[index, :length] = log_weights[stop - length : stop]
            bounded[own] = own_tilted_estimates(models, bounded_sampler, queries, _BOUNDED_SAMPLES)
        estimates = []
        for of_effort, columns, of_own in zip(counts, fresh, own_lengths, strict=True):
            own_counts = of_effort[indices, queries.rows]
            tilted, tilted_more = _tilted(samples, noise, own_counts), _tilted(samples, noise, of_own)
            fresh_more = _log_mean_of_first(samples, of_own)
            estimates.append(cls(scores, of_effort, columns, tilted, tilted_more, fresh_more, bounded))
        return estimates


@dataclasses.dataclass(frozen=True)
class OwnEstimates:
    """Estimates of log p(t|x) at queries for the input that made each, without the term -d/2 log(2 pi).

    Attributes
    ----------
    linear : Tensor of shape (q,)
        log N(t; m, C) of the linear model.
    fresh, bounded : Tensor of shape (q,)
        `fresh_more` and `bounded` of `DensityEstimates`.
    """

    linear: Tensor
    fresh: Tensor
    bounded: Tensor

    @classmethod
    def of(cls, proposals: Proposals, queries: KnownQueries, samples: int, seed: int) -> OwnEstimates:
        """Return estimates of `samples` samples at queries of which the i-th is made by input i."""
        n_queries = len(queries.rows)
        linear, fresh, bounded = torch.empty(3, n_queries, dtype=torch.float64)
        sampler = WeightSampler(proposals, seed)
        bounded_sampler = _bounded_sampler(proposals, seed)
        parts = (
            batch.select(part)
            for batch in proposals.batches()
            for part in torch.split(torch.arange(len(batch.rows)), _OWN_MODELS)
        )
        for models in parts:
            own = slice(int(models.rows[0]), int(models.rows[-1]) + 1)
            batch_queries = queries.select(own)
            linear[own] = models.log_densities(batch_queries.points).diagonal()
            counts = samples * torch.eye(len(models.rows), dtype=torch.int64)
            log_weights = sampler.log_weights(models, batch_queries, counts).view(-1, samples)
            fresh[own] = log_weights.logsumexp(1) - math.log(samples)
            bounded[own] = own_tilted_estimates(models, bounded_sampler, batch_queries, _BOUNDED_SAMPLES)
        return cls(linear, fresh, bounded)


def _bounded_sampler(proposals: Proposals, seed: int) -> WeightSampler:
    return WeightSampler(proposals, derived_seed(seed, RandomStream.KNOWN_ENTROPY_SEED), BOUNDED_PRIOR_WEIGHT)


@dataclasses.dataclass(frozen=True)
class ScoredQueries:
    """Queries with their scores (q, N)."""

    queries: KnownQueries
    scores: Tensor


def scores_of(proposals: Proposals, queries: KnownQueries) -> Tensor:
    """Return log N(t; m, C) of the linear model of each input at each query, (q, N)."""
    scores = torch.empty(len(queries.rows), proposals.model.n_inputs, dtype=torch.float64)
    budget = max(1, proposals.max_memory // 32 // (8 * proposals.model.n_units))
    for models in proposals.batches():
        size = max(1, budget // len(models.rows))
        for start in range(0, len(queries.rows), size):
            part = slice(start, start + size)
            scores[part, models.rows] = models.log_densities(queries.points[part]).T
    return scores


def _log_mean_of_first(samples: Tensor, counts: Tensor) -> Tensor:
    """Return the log mean of exp of the first counts[j] values of row j; -inf for none."""
    kept = torch.where(torch.arange(samples.shape[1]) < counts[:, None], samples, -math.inf)
    return torch.where(counts > 0, kept.logsumexp(1) - counts.clamp(min=1).double().log(), -math.inf)


def _tilted(samples: Tensor, noise: Tensor, counts: Tensor) -> Tensor:
    """Return the log mean of the weight of the own noise and of counts[j] - 1 samples; -inf for no samples at all."""
    kept = torch.where(torch.arange(samples.shape[1]) < counts[:, None] - 1, samples, -math.inf)
    total = torch.logaddexp(kept.logsumexp(1), noise)
    return torch.where(counts > 0, total - counts.clamp(min=1).double().log(), -math.inf)


def own_tilted_estimates(models: InputModels, sampler: WeightSampler, queries: KnownQueries, samples: int) -> Tensor:
    """Return tilted estimates, in the order of `WeightSampler.of_noises`, for the queries of the inputs of a batch.

    `samples`, at least 2, counts the query's own noise.
    """
    indices, noise = sampler.of_noises(models, queries)
    counts = torch.zeros(len(models.rows), len(queries.rows), dtype=torch.int64)
    counts[queries.rows[indices] - models.rows[0], indices] = samples - 1
    of_samples = sampler.log_weights(models, queries, counts).view(-1, samples - 1)
    return torch.cat([noise[:, None], of_samples], dim=1).logsumexp(1) - math.log(samples)
