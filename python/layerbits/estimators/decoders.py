"""Decoders: densities q(t|x), made of draws, that are evaluated at queries of other draws.

Each decoder is a mixture with equally many components for every input:

- in up to 32 dimensions, a Gaussian for each input with its own covariance, because tanh makes covariances differ; in
  one dimension, if there are many inputs, almost a Gaussian (`LineGaussians`);
- a Gaussian for each input with a covariance that all inputs share;
- the same with means that are moved towards their average, because in many dimensions the errors of means add up;
- in more than 16 dimensions, with these means, a Gaussian for each input with its own low-rank covariance;
- the mixture of the draws with wider kernels.

At layer 5 of the SZT network (sigma = 0.005, 300 epochs, 32 draws) the lower bound of I(X;T) is 5.84 nats with a
covariance for each input, and 5.42 nats without. `LowRankGaussians` has figures for wide layers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder import Decoder
from layerbits.estimators.draw_moments import DrawMoments, cholesky_root
from layerbits.estimators.line_gaussians import LineGaussians, are_faster
from layerbits.estimators.log_densities import (
    Queries,
    log_sums_by_class,
    mixture_log_sums,
    own_log_sums,
)
from layerbits.estimators.low_rank_gaussians import LowRankGaussians
from layerbits.kernels import log_sum_exp_full
from layerbits.statistics import ByCondition

# A covariance for each input costs d^2 multiply-adds a pair, and helps only with at least as many draws as dimensions
# (32 draws are the default).
_MAX_DIMENSIONS = 32

# The kernels are widened by this share of the covariance of the draws given the input, averaged over the inputs; tried
# on scalar networks.
_WIDENING = 0.09

# Points are whitened in float64, because float32 would lose digits, in blocks of this many values: a copy of all points
# would take twice the memory of the draws.
_BLOCK_VALUES = 2**20


class WhitenedMixture(Decoder):
    """For each input, k Gaussians with centers (N, k, d); all share a covariance (d, d) in float64.

    Whitening of points and centers makes the mixture isotropic.
    """

    def __init__(self, name: str, centers: Tensor, covariance: Tensor, classes: Classes, sigma: float) -> None:
        super().__init__(classes)
        self.name = name
        inverse_root, log_volume = _inverse_root(covariance)
        self._whitening = inverse_root.mT
        # Log densities are relative to the term -d/2 log(2 pi sigma^2) of the noise, hence d log(sigma).
        self._offset = centers.shape[2] * math.log(sigma) - float(log_volume) - math.log(centers.shape[1])
        self._centers = self._whitened(centers)

    def _whitened(self, points: Tensor) -> Tensor:
        whitened = torch.empty_like(points, memory_format=torch.contiguous_format)
        rows = max(1, _BLOCK_VALUES // max(1, points.shape[1:].numel()))
        for block, target in zip(torch.split(points, rows), torch.split(whitened, rows), strict=True):
            target.copy_(block.double() @ self._whitening)
        return whitened

    def _log_sums(self, queries: Queries) -> ByCondition[Doubles]:
        whitened_queries = dataclasses.replace(queries, points=self._whitened(queries.points), sigma=1.0)
        input_log_sums = own_log_sums(whitened_queries, self._centers[queries.inputs], parts=1)[0]
        class_log_sums, all_log_sums = mixture_log_sums(whitened_queries, self._centers, self._classes)
        return ByCondition(input_log_sums, class_log_sums, all_log_sums).map(lambda log_sums: log_sums + self._offset)


class Gaussians(Decoder):
    """A Gaussian for each input, with mean (N, d) and covariance (N, d, d) in float64."""

    name = "Gaussian"

    def __init__(self, means: Tensor, covariances: Tensor, classes: Classes, sigma: float) -> None:
        super().__init__(classes)
        # The kernel skips the remaining coordinates of a component once its term is certain to be 0, so the coordinates
        # that separate inputs best come first.
        variance = covariances.diagonal(dim1=1, dim2=2).sum(0)
        self._order = (means.var(0, correction=0) / variance).argsort(descending=True, stable=True)
        self._means = means[:, self._order]
        self._factors, log_volumes = _inverse_root(covariances[:, self._order[:, None], self._order])
        self._offsets = means.shape[1] * math.log(sigma) - log_volumes

    def _log_sums(self, queries: Queries) -> ByCondition[Doubles]:
        points = queries.points[..., self._order].double()
        ordered_queries = dataclasses.replace(queries, points=points)

        def log_sums_over(inputs: Integers | slice) -> Doubles:
            components = self._means[inputs], self._factors[inputs], self._offsets[inputs]
            return ordered_queries.log_sums(log_sum_exp_full, *components)

        class_log_sums, all_log_sums = log_sums_by_class(ordered_queries, self._classes, log_sums_over)
        deviations = points - self._means[queries.inputs][:, None]
        whitened_deviations = deviations @ self._factors[queries.inputs].mT
        input_log_sums = self._offsets[queries.inputs][:, None] - whitened_deviations.square().sum(-1) / 2
        return ByCondition(input_log_sums.numpy(force=True), class_log_sums, all_log_sums)


def _inverse_root(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inverses (..., d, d) of Cholesky factors of covariances, and the log determinants of the factors."""
    identity = torch.eye(covariances.shape[-1], dtype=torch.float64, device=covariances.device)
    roots = cholesky_root(covariances)
    inverses = torch.linalg.solve_triangular(roots, identity, upper=False)
    return inverses, roots.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def decoders(draws: Tensor, classes: Classes, sigma: float) -> Iterator[Decoder]:
    """Yield the decoders made of draws (N, r, d), one at a time; none if r = 1."""
    r, dim = draws.shape[1:]
    if r < 2:
        return
    moments = DrawMoments.of(draws, sigma)
    # A fresh draw has, around the mean of r draws, the covariance of a draw times 1 + 1/r.
    predictive = 1 + 1 / r
    if dim <= _MAX_DIMENSIONS:
        covariances = moments.noise + predictive * (moments.deviations.mT @ moments.deviations / (r - 1))
        if dim == 1 and are_faster(covariances[:, 0, 0], classes):
            yield LineGaussians(moments.means, covariances[:, 0, 0], classes, sigma)
        else:
            yield Gaussians(moments.means, covariances, classes, sigma)
    covariance = moments.noise + predictive * moments.covariance
    yield WhitenedMixture("shared Gaussian", moments.means[:, None].to(draws.dtype), covariance, classes, sigma)
    means, error_covariance = moments.shrunk_means
    covariance = moments.noise + moments.covariance + error_covariance
    yield WhitenedMixture("shrunk Gaussian", means[:, None].to(draws.dtype), covariance, classes, sigma)
    low_rank = LowRankGaussians.of(moments, classes)
    if low_rank is not None:
        yield low_rank
    wide_covariance = moments.noise + _WIDENING * moments.covariance
    del moments  # its deviations, in float64, take more memory than the draws
    yield WhitenedMixture("wide mixture", draws, wide_covariance, classes, sigma)
