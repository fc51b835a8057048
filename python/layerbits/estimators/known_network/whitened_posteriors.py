"""Posteriors q(w|t) of linear models in coordinates in which they are standard normal: w = c(t) + R v."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from layerbits.estimators.known_network.linear_models import LinearModels
from layerbits.estimators.known_network.low_rank_models import LowRankModels
from layerbits.estimators.known_network.proposals import InputModels


class WhitenedPosteriors(Protocol):
    """The posteriors of b inputs; values are in float64."""

    @property
    def log_volumes(self) -> Tensor:
        """The logarithms of |det R|, (b,)."""

    def centers(self, points: Tensor) -> Tensor:
        """Return the means c(t), (b, n, k), of the noises at points (b, n, d)."""

    def unwhiten(self, values: Tensor) -> Tensor:
        """Return R v, (b, n, k), for values (b, n, k)."""

    def transposed_unwhiten(self, gradients: Tensor) -> Tensor:
        """Return R^T u, (b, n, k), for gradients (b, n, k)."""

    def whiten(self, deviations: Tensor) -> Tensor:
        """Return R^-1 u, (b, n, k), for deviations (b, n, k)."""


@dataclasses.dataclass(frozen=True)
class DensePosteriors:
    """Posteriors whose covariance has a triangular root; made by `of`.

    Attributes
    ----------
    models : LinearModels
        The models.
    projections : Tensor of shape (b, d, k)
        The map from t - m to the mean of the noises.
    roots : Tensor of shape (b, k, k)
        The lower triangular roots R.
    """

    models: LinearModels
    projections: Tensor
    roots: Tensor

    @classmethod
    def of(cls, models: LinearModels) -> DensePosteriors:
        """Return the posteriors of linear models."""
        identity = torch.eye(models.gains.shape[2], dtype=torch.float64)
        precisions = identity + models.gains.mT @ (models.gains / models.variances[..., None])
        # U U^T with U upper triangular; the inverse of U^T is the root. I - G^T C^-1 G would cancel for large gains.
        upper = torch.linalg.cholesky(precisions.flip(1, 2)).flip(1, 2)
        roots = torch.linalg.solve_triangular(upper, identity, upper=True).mT
        return cls(models, models.precisions @ models.gains, roots)

    @property
    def log_volumes(self) -> Tensor:
        """The logarithms of |det R|, (b,)."""
        return self.roots.diagonal(dim1=1, dim2=2).log().sum(1)

    def centers(self, points: Tensor) -> Tensor:
        """Return the means of the noises at points."""
        return (points - self.models.means[:, None]) @ self.projections

    def unwhiten(self, values: Tensor) -> Tensor:
        """Return R v."""
        return values @ self.roots.mT

    def transposed_unwhiten(self, gradients: Tensor) -> Tensor:
        """Return R^T u."""
        return gradients @ self.roots

    def whiten(self, deviations: Tensor) -> Tensor:
        """Return R^-1 u."""
        values: Tensor = torch.linalg.solve_triangular(self.roots.mT, deviations, upper=True, left=False)
        return values


def whitened_posteriors(models: InputModels) -> WhitenedPosteriors:
    """Return the posteriors of models in coordinates in which they are standard normal."""
    return models if isinstance(models, LowRankModels) else DensePosteriors.of(models)


def bytes_of_posterior(models: InputModels) -> int:
    """Return the bytes of one input that `select` and `whitened_posteriors` need."""
    if isinstance(models, LowRankModels):
        return 8 * (models.directions[0].numel() + models.projections[0].numel())
    d, k = models.gains.shape[1:]
    # The models, the projections, the covariance of the noises, a term of it, and its root.
    return 8 * (d * (d + k) + d * k + 3 * k * k)
