"""The linear models of all inputs, batch by batch, kept between visits if they fit into the budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch

from layerbits.estimators.known_network.linear_models import JACOBIANS, LinearModels
from layerbits.estimators.known_network.signal_model import SignalModel


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
    """

    model: SignalModel
    seed: int
    max_memory: int
    n_jacobians: int = JACOBIANS
    _kept: list[LinearModels] = dataclasses.field(default_factory=list)

    def batches(self) -> Iterator[LinearModels]:
        """Yield the models of successive inputs, the same at every visit."""
        if self._kept:
            yield from self._kept
            return
        n_inputs, bytes_of_model = self.model.n_inputs, LinearModels.bytes_of_input(self.model)
        keep = bytes_of_model * n_inputs <= self.max_memory // 2
        # A fit also needs noises, signals, a Jacobian, the covariance and its factor for each input.
        batch = max(1, min(n_inputs, self.max_memory // 64 // bytes_of_model))
        fitted = []
        for rows in torch.split(torch.arange(n_inputs), batch):
            models = LinearModels.fit(self.model, rows, self.seed, self.n_jacobians)
            if keep:
                fitted.append(models)
            yield models
        self._kept = fitted
