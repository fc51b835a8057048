"""Importance weights phi(t - g(x, w)) p(w) / q(w|t, x) of sampled noises w, for pairs of a query t and an input x."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from layerbits.estimators.known_network.proposals import InputModels, Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.kernels import RandomStream, standard_normal, stream


@dataclasses.dataclass(frozen=True)
class WeightSampler:
    """Samples of the proposals of all inputs and their weights; no two pairs share a sample.

    Attributes
    ----------
    proposals : Proposals
        The linear models whose posteriors are the proposals.
    seed : int
        Seed of the samples; each input has its own streams.
    prior_weight : float
        Weight of the prior in the proposal, which bounds the weights by (2 pi)^(-d/2) / prior_weight.
    """

    proposals: Proposals
    seed: int
    prior_weight: float = 0.0

    def log_weights(self, models: InputModels, queries: KnownQueries, counts: Tensor) -> Tensor:
        """Return the log weights of counts[i, j] samples of the i-th model for query j.

        The weights are flat, in the order of the models and of the queries.
        """
        totals = counts.sum(1)
        log_weights = torch.empty(int(totals.sum()), dtype=torch.float64)
        parts = torch.split(log_weights, totals.tolist())
        model = self.proposals.model
        # A sample takes some ten arrays of k + d values, so a batch takes some 4 % of the budget.
        values = max(1, self.proposals.max_memory // 256 // (8 * (model.noise_size + model.n_units)))
        order = totals.argsort(descending=True, stable=True)
        order = order[totals[order] > 0]
        while len(order):
            # Inputs of similar totals share a batch, so that few places are empty.
            longest = int(totals[order[0]])
            batch, order = order[: max(1, values // longest)], order[max(1, values // longest) :]
            generators = [stream(self.seed, RandomStream.KNOWN_SAMPLES, int(row)) for row in models.rows[batch]]
            chosen = models.select(batch)
            indices = [torch.arange(counts.shape[1]).repeat_interleave(counts[i]) for i in batch]
            # The prior is chosen by streams of its own, so that the division into pieces changes no sample.
            choices = [stream(self.seed, RandomStream.KNOWN_PRIOR_CHOICES, int(row)) for row in models.rows[batch]]
            for start in range(0, longest, values):
                pieces = [index[start : start + values] for index in indices]
                results = self._weights_of_pieces(chosen, queries, pieces, list(zip(generators, choices, strict=True)))
                for i, piece, result in zip(batch.tolist(), pieces, results, strict=True):
                    parts[i][start : start + len(piece)] = result
        return log_weights

    def _weights_of_pieces(
        self,
        models: InputModels,
        queries: KnownQueries,
        pieces: Sequence[Tensor],
        generators: Sequence[tuple[np.random.Generator, np.random.Generator]],
    ) -> Sequence[Tensor]:
        """Return log weights for each input, whose next samples are for the queries with the indices of its piece."""
        model, lengths = self.proposals.model, [len(piece) for piece in pieces]
        k, d = model.noise_size, model.n_units
        points = torch.zeros(len(pieces), max(lengths), d, dtype=torch.float64)
        normal = torch.zeros(len(pieces), max(lengths), k + d, dtype=torch.float64)
        uses_prior = torch.zeros(len(pieces), max(lengths), dtype=torch.bool)
        for i, (piece, (generator, choice)) in enumerate(zip(pieces, generators, strict=True)):
            points[i, : len(piece)] = queries.points[piece]
            normal[i, : len(piece)] = standard_normal((len(piece), k + d), generator, torch.float64)
            if self.prior_weight:
                uses_prior[i, : len(piece)] = torch.from_numpy(choice.random(len(piece)) < self.prior_weight)
        noises, log_ratios = models.posterior_samples(points, normal[..., :k], normal[..., k:])
        if self.prior_weight:
            noises[uses_prior] = normal[..., :k][uses_prior]
            log_ratios = models.log_ratios(points, noises)
        filled = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        rows = models.rows.repeat_interleave(torch.tensor(lengths))
        signals = model.signals(rows, noises[filled], are_typical=False)
        log_noise = noise_log_densities(signals, points[filled])
        return torch.split(log_noise + self._mixed(log_ratios[filled]), lengths)

    def of_noises(self, models: InputModels, queries: KnownQueries) -> tuple[Tensor, Tensor]:
        """Return the indices of the queries of the inputs of a batch, and the log weights of their own noises."""
        order, lengths = [], []
        for row in models.rows.tolist():
            indices = (queries.rows == row).nonzero()[:, 0]
            order.append(indices)
            lengths.append(len(indices))
        filled = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        indices = torch.cat(order)
        points = torch.zeros(*filled.shape, queries.points.shape[1], dtype=torch.float64)
        noises = torch.zeros(*filled.shape, queries.noises.shape[1], dtype=torch.float64)
        points[filled], noises[filled] = queries.points[indices], queries.noises[indices]
        log_ratios = models.log_ratios(points, noises)[filled]
        # The proof needs the signals that made the queries: a network rounds differently in another batch.
        return indices, self._mixed(log_ratios) - 0.5 * queries.squares[indices]

    def _mixed(self, log_ratios: Tensor) -> Tensor:
        """Return log p(w) - log q(w) for the proposal with the prior mixed in."""
        if not self.prior_weight:
            return log_ratios
        return -torch.logaddexp(
            math.log1p(-self.prior_weight) - log_ratios, torch.full_like(log_ratios, math.log(self.prior_weight))
        )


def noise_log_densities(signals: Tensor, points: Tensor) -> Tensor:
    """Return log phi(t - s) without the term -d/2 log(2 pi), (n,); -inf for a signal that is NaN or infinite.

    No noisy value is near such a signal, so its density at t is 0.
    """
    return (-0.5 * (points - signals).square().sum(-1)).nan_to_num(nan=-math.inf, neginf=-math.inf)


def log_means(values: Tensor, lengths: Tensor, firsts: Tensor) -> Tensor:
    """Return, for successive parts, the log mean of exp of the first firsts[i] <= lengths[i] values; -inf for none."""
    part = torch.arange(len(lengths)).repeat_interleave(lengths)
    is_first = torch.arange(len(values)) - (lengths.cumsum(0) - lengths)[part] < firsts[part]
    values, part = values[is_first], part[is_first]
    largest = torch.full((len(lengths),), -math.inf, dtype=torch.float64).scatter_reduce(0, part, values, "amax")
    shifts = torch.where(largest > -math.inf, largest, 0.0)
    sums = torch.zeros(len(lengths), dtype=torch.float64).index_add(0, part, (values - shifts[part]).exp())
    return sums.log() + shifts - firsts.double().log().nan_to_num(neginf=0.0)
