"""Decoders of a layer with `DropoutNoise`: densities q(t|x), made of draws, with the noise variance of each input.

Given x, T has the covariance Cov(S|x) + diag(sigma^2 + alpha^2 E[S^2|x]); for a mean over tokens, S^2 in the second
term is the mean of their squares. The decoders are

- in up to 32 dimensions, a Gaussian for each input with this covariance;
- a Gaussian for each input with the diagonal of this covariance;
- the mixture of the draws with wider kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder import Decoder
from layerbits.estimators.decoders import Gaussians, decoders
from layerbits.estimators.diagonal_gaussians import DiagonalGaussians, dropout_variances
from layerbits.estimators.log_densities import Queries, diagonal_log_sums
from layerbits.mixtures import means_of
from layerbits.statistics import ByCondition

# A full covariance for each input costs d^2 multiply-adds a pair, a diagonal one 2 d.
_MAX_DIMENSIONS = 32

# The kernels are widened by this share of the variance of the draws given the input, averaged over the inputs, as in
# `decoders`.
_WIDENING = 0.09


class DiagonalMixture(Decoder):
    """For each input, k Gaussians with diagonal covariances."""

    def __init__(self, name: str, components: DiagonalGaussians, classes: Classes) -> None:
        super().__init__(classes)
        self.name = name
        self._components = components
        self._log_count = math.log(components.centers.shape[1])

    def _log_sums(self, queries: Queries) -> ByCondition[Doubles]:
        own = self._components.select(queries.inputs).own_log_sums(queries.points, parts=1)[0]
        log_sums = ByCondition(own, *diagonal_log_sums(queries, self._components, self._classes))
        return log_sums.map(lambda values: values - self._log_count)


def decoders_of(draws: Tensor, classes: Classes, queries: Queries) -> Iterator[Decoder]:
    """Yield the decoders made of draws (N, r, d) for the noise of the queries, one at a time; none if r = 1."""
    if queries.alpha:
        return _dropout_decoders(draws, classes, queries)
    return decoders(draws, classes, queries.sigma)


def _dropout_decoders(draws: Tensor, classes: Classes, queries: Queries) -> Iterator[Decoder]:
    n_draws, dim = draws.shape[1:]
    if n_draws < 2:
        return
    sigma, alpha = queries.sigma, queries.alpha
    centers = means_of(draws)
    means = centers.double().mean(1)
    deviations = centers.double() - means[:, None]
    # A fresh draw has, around the mean of r draws, the covariance of a draw times 1 + 1/r.
    predictive = (1 + 1 / n_draws) / (n_draws - 1)
    squares = deviations.square().sum(1)
    variances = dropout_variances(draws, sigma, alpha)
    noise = variances.mean(1)
    if dim <= _MAX_DIMENSIONS:
        covariances = predictive * (deviations.mT @ deviations) + noise.diag_embed()
        yield Gaussians(means, covariances, classes, sigma)
    gaussians = DiagonalGaussians(means[:, None].to(centers.dtype), (noise + predictive * squares)[:, None], sigma)
    yield DiagonalMixture("diagonal Gaussian", gaussians, classes)
    widening = _WIDENING / (n_draws - 1) * squares.mean(0)
    wide = DiagonalGaussians(centers, variances + widening, sigma)
    yield DiagonalMixture("wide mixture", wide, classes)
