"""`AnnealedSampler`: weights of chains for pairs of a query and an input, in place of weights of samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from layerbits.estimators.known_network.annealing import Bridges, Chains, Targets
from layerbits.estimators.known_network.proposals import InputModels, Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.whitened_posteriors import bytes_of_posterior, whitened_posteriors
from layerbits.kernels import RandomStream, stream

# Values of an array of a batch of chains, 4 MiB in float64; a batch has some ten such arrays. A chain takes as long
# with 2^17 or 2^15 values.
_BATCH_VALUES = 2**19


@dataclasses.dataclass(frozen=True)
class AnnealedSampler:
    """Chains of pairs of a query and an input; no two pairs share random numbers.

    Attributes
    ----------
    proposals : Proposals
        The linear models whose posteriors are the proposals.
    seed : int
        Seed of the chains; each input has its own streams.
    bridges : Bridges
        The settings of the chains.
    """

    proposals: Proposals
    seed: int
    bridges: Bridges

    def log_weights(self, models: InputModels, queries: KnownQueries, counts: Tensor) -> Tensor:
        """Return the log weights of counts[i, j] chains of the i-th model for query j, flat as in `WeightSampler`."""
        totals = counts.sum(1)
        log_weights = torch.empty(int(totals.sum()), dtype=torch.float64)
        parts = torch.split(log_weights, totals.tolist())
        indices = [torch.arange(counts.shape[1]).repeat_interleave(of_input) for of_input in counts]
        for batch, targets in self._batches(models, queries, indices):
            generators = [stream(self.seed, RandomStream.KNOWN_CHAINS, int(row)) for row in targets.rows]
            result = Chains(targets, self.bridges, generators).forward_log_weights()
            for i, values, filled in zip(batch.tolist(), result, targets.filled, strict=True):
                parts[i][:] = values[filled]
        return log_weights

    def of_noises(self, models: InputModels, queries: KnownQueries) -> tuple[Tensor, Tensor]:
        """Return the indices of the queries of the inputs of a batch, and log weights of chains from their noises."""
        indices = [(queries.rows == row).nonzero()[:, 0] for row in models.rows]
        order, log_weights = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.float64)]
        for batch, targets in self._batches(models, queries, indices):
            noises = torch.zeros(*targets.filled.shape, queries.noises.shape[1], dtype=torch.float64)
            of_batch = torch.cat([indices[i] for i in batch.tolist()])
            noises[targets.filled] = queries.noises[of_batch]
            generators = [stream(self.seed, RandomStream.KNOWN_REVERSED_CHAINS, int(row)) for row in targets.rows]
            result = Chains(targets, self.bridges, generators).backward_log_weights(noises, queries.squares[of_batch])
            order.append(of_batch)
            log_weights.append(result[targets.filled])
        return torch.cat(order), torch.cat(log_weights)

    def _batches(
        self, models: InputModels, queries: KnownQueries, indices: list[Tensor]
    ) -> Iterator[tuple[Tensor, Targets]]:
        """Yield positions of models and their targets at queries with these indices, except models without any."""
        model = self.proposals.model
        lengths = torch.tensor([len(of_input) for of_input in indices])
        order = lengths.argsort(descending=True, stable=True)
        order = order[lengths[order] > 0]
        values = max(1, _BATCH_VALUES // (model.noise_size + model.n_units))
        most_models = self.proposals.max_memory // 32 // bytes_of_posterior(models)
        while len(order):
            # Inputs with similar numbers of chains share a batch, so that few places are empty.
            longest = int(lengths[order[0]])
            size = max(1, min(values // longest, most_models))
            batch, order = order[:size], order[size:]
            filled = torch.arange(longest) < lengths[batch][:, None]
            points = torch.zeros(*filled.shape, model.n_units, dtype=torch.float64)
            points[filled] = queries.points[torch.cat([indices[i] for i in batch.tolist()])]
            posteriors = whitened_posteriors(models.select(batch))
            yield batch, Targets(model, posteriors, models.rows[batch], points, filled)
