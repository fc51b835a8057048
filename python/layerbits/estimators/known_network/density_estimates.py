"""Estimates of log p(t|x) at queries: unbiased from fresh samples, and tilted by the noise that made the query.

The number of samples of a pair (t, x') follows from the scores N(t; m, C) of all inputs at t: it does not depend on
which input made t. Only the estimates of I(X;T) and I(X;T|Y) use further samples for the input that made t.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.weights import WeightSampler, log_means


@dataclasses.dataclass(frozen=True)
class Effort:
    """How many samples the estimates take.

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
    """

    scores: Tensor
    counts: Tensor
    fresh: Tensor
    tilted: Tensor
    tilted_more: Tensor
    fresh_more: Tensor

    @classmethod
    def of(
        cls, proposals: Proposals, queries: KnownQueries, scores: Tensor, effort: Effort, seed: int
    ) -> DensityEstimates:
        """Sample the proposals; `seed` is one that no other queries have."""
        counts = effort.counts(scores)
        sampler = WeightSampler(proposals, seed)
        each = torch.arange(len(queries.rows))
        drawn = counts.T.clone()
        own_drawn = drawn[queries.rows, each].clamp(min=max(1, effort.own))
        drawn[queries.rows, each] = own_drawn
        fresh = torch.empty_like(scores)
        samples = torch.full((len(each), int(own_drawn.max())), -math.inf, dtype=torch.float64)
        noise = torch.empty(len(each), dtype=torch.float64)
        for models, log_weights in sampler.batches(queries, drawn):
            lengths = drawn[models.rows].flatten()
            fresh[:, models.rows] = log_means(log_weights, lengths).view(len(models.rows), -1).T
            own, own_noise = sampler.of_noises(models, queries)
            noise[own] = own_noise
            ends = lengths.cumsum(0).view(len(models.rows), -1)
            positions = queries.rows[own] - models.rows[0]
            for index, position in zip(own.tolist(), positions.tolist(), strict=True):
                stop, length = int(ends[position, index]), int(own_drawn[index])
                samples[index, :length] = log_weights[stop - length : stop]
        own_counts = counts[each, queries.rows]
        fresh[each, queries.rows] = _log_mean_of_first(samples, own_counts)
        return cls(
            scores,
            counts,
            fresh,
            _tilted(samples, noise, own_counts),
            _tilted(samples, noise, own_drawn),
            _log_mean_of_first(samples, own_drawn),
        )


def scores_of(proposals: Proposals, queries: KnownQueries) -> Tensor:
    """Return log N(t; m, C) of the linear model of each input at each query, (q, N)."""
    scores = torch.empty(len(queries.rows), proposals.model.n_inputs, dtype=torch.float64)
    budget = max(1, proposals.max_memory // 32 // (8 * proposals.model.n_units))
    for models in proposals.batches():
        for start in range(0, len(queries.rows), max(1, budget // len(models.rows))):
            part = slice(start, start + max(1, budget // len(models.rows)))
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


def own_tilted_estimates(
    proposals: Proposals, queries: KnownQueries, samples: int, prior_weight: float, seed: int
) -> Tensor:
    """Return tilted estimates for the input of each query, (q,), with the prior mixed into the proposal.

    `samples` counts the query's own noise. `seed` is one that no other queries have.
    """
    sampler = WeightSampler(proposals, seed, prior_weight)
    each = torch.arange(len(queries.rows))
    counts = torch.zeros(proposals.model.n_inputs, len(each), dtype=torch.int64)
    counts[queries.rows, each] = samples - 1
    tilted = torch.empty(len(each), dtype=torch.float64)
    for models, log_weights in sampler.batches(queries, counts):
        indices, noise = sampler.of_noises(models, queries)
        of_samples = log_weights.view(-1, samples - 1) if samples > 1 else log_weights.new_empty(len(noise), 0)
        # Both are in the order of the inputs and of the queries.
        tilted[indices] = torch.cat([noise[:, None], of_samples], dim=1).logsumexp(1) - math.log(samples)
    return tilted
