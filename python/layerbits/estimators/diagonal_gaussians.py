"""Gaussians with independent units and a variance for each unit: the densities of a layer with `DropoutNoise`.

Given the signal s, T ~ N(s, diag(v)) with v = sigma^2 + alpha^2 s^2; a mean over tokens has a complex signal
(`layerbits.mixtures.scales_of`). A log density here lacks the term -d/2 log(2 pi sigma^2), as in `log_densities`, so
that it includes -1/2 sum_k log(v_k / sigma^2).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.kernels import NO_WORKERS, Workers, log_sum_exp_diagonal, log_sums
from layerbits.mixtures import means_of, scales_of

# Largest number of values of the differences of queries and centers in a block: 32 MiB in float64.
_BLOCK_VALUES = 2**22


def dropout_variances(signals: Tensor, sigma: float, alpha: float) -> Tensor:
    """Return the variances sigma^2 + alpha^2 s^2 of the noisy values of signals, in float64."""
    return (alpha * scales_of(signals).double()).square() + sigma**2


@dataclasses.dataclass(frozen=True)
class DiagonalGaussians:
    """Gaussians with diagonal covariances; equally many components for each input.

    Attributes
    ----------
    centers : Tensor of shape (n, r, d)
        The means.
    variances : Tensor of shape (n, r, d)
        The variances by unit, in float64.
    sigma : float
        Standard deviation of the noise of a signal of 0.
    """

    centers: Tensor
    variances: Tensor
    sigma: float

    @classmethod
    def around(cls, signals: Tensor, sigma: float, alpha: float) -> DiagonalGaussians:
        """Return the densities of the noisy values of signals (n, r, d)."""
        return cls(means_of(signals), dropout_variances(signals, sigma, alpha), sigma)

    @functools.cached_property
    def log_volumes(self) -> Tensor:
        """1/2 sum_k log(v_k / sigma^2) of each component, (n, r)."""
        return (self.variances / self.sigma**2).log().sum(-1) / 2

    def select(self, inputs: Integers | slice) -> DiagonalGaussians:
        """Return the components of some inputs."""
        return DiagonalGaussians(self.centers[inputs], self.variances[inputs], self.sigma)

    def log_density(self, points: Tensor) -> Doubles:
        """Return the log density of each component at a point of its own; points have the shape of the centers."""
        squares = ((points.double() - self.centers).square() / self.variances).sum(-1)
        log_density: Doubles = (-squares / 2 - self.log_volumes).numpy(force=True)
        return log_density

    def log_sums(self, points: Tensor, workers: Workers = NO_WORKERS) -> Doubles:
        """Return the log-sum-exp of the log densities of all components at points (m, d), shape (m,)."""
        centers, factors = self.centers.flatten(0, 1), self.variances.flatten(0, 1).rsqrt()
        log_volumes = self.log_volumes.flatten()
        smallest = log_volumes.min()  # subtracted in float64, so that offsets in float32 lose no digits
        components = centers, factors.to(points.dtype), (smallest - log_volumes).to(points.dtype)
        return log_sums(log_sum_exp_diagonal, points, components, workers) - float(smallest)

    def own_log_sums(self, points: Tensor, parts: int) -> Doubles:
        """Return log-sums at points (n, q, d) over parts of the components of the point's input, (parts, n, q)."""
        n, draws, dim = self.centers.shape
        starts = np.arange(parts + 1) * draws // parts
        log_sums = np.empty((parts, n, points.shape[1]))
        size = max(1, _BLOCK_VALUES // max(1, points.shape[1] * draws * dim))
        for first in range(0, n, size):
            block = slice(first, first + size)
            differences = points[block, :, None].double() - self.centers[block, None]
            squares = (differences.square_() / self.variances[block, None]).sum(-1)
            log_densities = squares.div_(-2) - self.log_volumes[block, None]
            for part in range(parts):
                part_sums = log_densities[..., starts[part] : starts[part + 1]].logsumexp(-1)
                log_sums[part, block] = part_sums.numpy(force=True)
        return log_sums
