"""Synthetic log-sum problems: random points and centers, seeded.

All values are float32, so that methods in float32 and in float64 compute the same problem.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

PAPER_SIGMA = 0.005
"""Standard deviation of the noise in the SZT networks of the paper."""


@dataclasses.dataclass(frozen=True, eq=False)
class LogSumProblem:
    """Log-sums at points (m, d) over centers (n, d); with offsets, each group of points has its own centers."""

    name: str
    points: Tensor
    centers: Tensor
    sigma: float
    point_offsets: Tensor | None = None
    center_offsets: Tensor | None = None

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    @property
    def is_grouped(self) -> bool:
        return self.point_offsets is not None

    @property
    def pairs(self) -> int:
        """Number of pairs of a point and a center."""
        if self.point_offsets is None or self.center_offsets is None:
            return len(self.points) * len(self.centers)
        return int(self.point_offsets.diff() @ self.center_offsets.diff())

    @property
    def normalizers(self) -> tuple[float, float]:
        """log n and d / 2 log(2 pi sigma^2); (0, 0) for groups, whose log-sums are compared."""
        if self.is_grouped:
            return 0.0, 0.0
        return math.log(len(self.centers)), self.dim / 2 * math.log(2 * math.pi * self.sigma**2)

    @property
    def log_normalizer(self) -> float:
        """Log-sum minus log density."""
        return sum(self.normalizers)

    def to(self, dtype: torch.dtype) -> LogSumProblem:
        return dataclasses.replace(self, points=self.points.to(dtype), centers=self.centers.to(dtype))

    def first(self, m: int) -> LogSumProblem:
        """Return the problem of the first `m` points; only without groups."""
        return dataclasses.replace(self, points=self.points[:m])


def mixture(n: int, m: int, d: int, *, seed: int = 0) -> LogSumProblem:
    """Sample `m` queries of a Gaussian mixture of `n` components in which every pair contributes to the result.

    With sigma = sqrt(d)/3 the exponents of other centers are about 9 nats below the exponent of the query's own center,
    in any dimension, so that no method may skip a pair.
    """
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(n, d, generator=generator)
    sigma = math.sqrt(d) / 3
    return LogSumProblem(f"mixture, d = {d}", sample_queries(centers, m, sigma, generator), centers, sigma)


def groups(count: int, *, size: int = 32, d: int = 3, seed: int = 0) -> LogSumProblem:
    """Sample `count` groups of `size` points and `size` centers, as in the conditional entropies of a layer."""
    generator = torch.Generator().manual_seed(seed)
    points, centers = (torch.randn(count * size, d, generator=generator) for _ in range(2))
    offsets = torch.arange(0, count * size + 1, size)
    return LogSumProblem(f"{count} groups, d = {d}", points, centers, math.sqrt(d) / 3, offsets, offsets)


def cube(n: int, *, d: int = 3, seed: int = 0) -> LogSumProblem:
    """Sample `n` centers uniformly in the cube [-1, 1]^d, the range of a tanh layer, and `n` queries."""
    generator = torch.Generator().manual_seed(seed)
    centers = 2 * torch.rand(n, d, generator=generator) - 1
    return LogSumProblem(f"cube, n = m = {n}", sample_queries(centers, n, PAPER_SIGMA, generator), centers, PAPER_SIGMA)


def sample_queries(centers: Tensor, m: int, sigma: float, generator: torch.Generator) -> Tensor:
    """Sample `m` noisy copies of random centers."""
    bases = centers[torch.randint(len(centers), (m,), generator=generator)]
    return bases + sigma * torch.randn(bases.shape, generator=generator)
