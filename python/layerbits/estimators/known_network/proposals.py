"""The linear models of all inputs, batch by batch, kept between visits if they fit into the budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from layerbits.estimators.known_network.linear_models import JACOBIANS, LinearModels
from layerbits.estimators.known_network.low_rank_models import LowRankModels
from layerbits.estimators.known_network.signal_model import SignalModel

InputModels = LinearModels | LowRankModels

# Number of budgets that all dense models together may take; beyond it the models have a low rank, with which they fit
# into the budget. On the third layer of mlp512 (6 budgets of 1 GiB) a fit takes .18 s an input for dense models, and
# .03 s at the rank 40.
_DENSE_BUDGETS = 2


@dataclasses.dataclass
class Proposals:
    """The linear models of all inputs.

    Attributes
    ----------
    model : SignalModel
        The network.
    seed : int
        Seed of the noises that fit the models.
    max_memory : int
        Budget in bytes. Models that exceed half of it are fitted again at each visit.
    n_jacobians : int
        Number of Jacobians of an input.
    n_fits : int
        Number of fits of all models.
    """

    model: SignalModel
    seed: int
    max_memory: int
    n_jacobians: int = JACOBIANS
    n_fits: int = 0
    _kept: list[InputModels] = dataclasses.field(default_factory=list)

    @property
    def rank(self) -> int | None:
        """The rank of the models; None if they are dense."""
        n_inputs, model = self.model.n_inputs, self.model
        if LinearModels.bytes_of_input(model) * n_inputs <= _DENSE_BUDGETS * self.max_memory:
            return None
        without_rank = LowRankModels.bytes_of_input(model, 0)
        bytes_of_direction = LowRankModels.bytes_of_input(model, 1) - without_rank
        rank = (self.max_memory // 2 // n_inputs - without_rank) // bytes_of_direction
        return max(1, min(rank, model.n_units, model.noise_size))

    def batches(self) -> Iterator[InputModels]:
        """Yield the models of successive inputs, the same at every visit."""
        if self._kept:
            yield from self._kept
            return
        self.n_fits += 1
        n_inputs, rank, bytes_of_model = self.model.n_inputs, self.rank, LinearModels.bytes_of_input(self.model)
        if rank is not None:
            bytes_of_model = LowRankModels.bytes_of_input(self.model, rank)
        keep = bytes_of_model * n_inputs <= self.max_memory // 2
        # A fit also needs noises, signals, a Jacobian, the covariance and its factor for each input.
        batch = max(1, min(n_inputs, self.max_memory // 64 // bytes_of_model))
        fitted: list[InputModels] = []
        for rows in torch.split(torch.arange(n_inputs), batch):
            models = self._fit(rows, rank)
            if keep:
                fitted.append(models)
            yield models
        self._kept = fitted

    def _fit(self, rows: Tensor, rank: int | None) -> InputModels:
        if rank is None:
            return LinearModels.fit(self.model, rows, self.seed, self.n_jacobians)
        return LowRankModels.fit(self.model, rows, self.seed, rank)
