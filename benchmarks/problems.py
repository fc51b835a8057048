"""The same data for every method: seeded, and of float32 values, so that float32 and float64 compute one problem.

Also the truth of it, in long double and by direct sums; it calls neither the core nor a rival.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from layerbits.data import szt_dataset
from layerbits.networks import NoisyModule, noisify, propagate

SZT_WIDTHS = (12, 10, 7, 5, 4, 3, 2)
PAPER_SIGMA = 0.005

_CHECKED_ROWS, _CHECKED_COORDINATES = 128, 2**26  # rows, as far as so many differences do


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Log-sums of points (m, d) over centers (n, d), float32 values; with offsets, of each group alone."""

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
        if self.point_offsets is None or self.center_offsets is None:
            return len(self.points) * len(self.centers)
        return int(self.point_offsets.diff() @ self.center_offsets.diff())

    def to(self, dtype: torch.dtype) -> Problem:
        return dataclasses.replace(self, points=self.points.to(dtype), centers=self.centers.to(dtype))

    def first(self, m: int) -> Problem:
        """The same with no more than `m` points; not for groups."""
        return dataclasses.replace(self, points=self.points[:m])


def mixture(n: int, m: int, d: int, *, seed: int = 0) -> Problem:
    """Queries of a Gaussian mixture in which every pair weighs something, so that no method may skip any.

    With sigma = sqrt(d)/3 a center other than the query's own is about 9 nats behind it, in any dimension.
    """
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(n, d, generator=generator)
    sigma = math.sqrt(d) / 3
    return Problem(f"mixture, d = {d}", _queries(centers, m, sigma, generator), centers, sigma)


def szt_layer(n: int, m: int, *, layer: int, seed: int = 0) -> Problem:
    """Queries of a layer of the noisy SZT network at the paper's sigma: few pairs weigh anything, rounding hurts."""
    noisy, inputs = noisy_szt_network(n, sigma=PAPER_SIGMA, seed=seed)
    centers = propagate(noisy, inputs, draws=1, seed=seed)[noisy.layer_names[layer]][:, 0]
    generator = torch.Generator().manual_seed(seed)
    name = f"SZT layer, d = {centers.shape[1]}"
    return Problem(name, _queries(centers, m, PAPER_SIGMA, generator), centers, PAPER_SIGMA)


def groups(count: int, *, size: int = 32, d: int = 3, seed: int = 0) -> Problem:
    """Groups of `size` points and as many centers: the conditional entropies of a layer."""
    generator = torch.Generator().manual_seed(seed)
    points, centers = (torch.randn(count * size, d, generator=generator) for _ in range(2))
    offsets = torch.arange(0, count * size + 1, size)
    return Problem(f"{count} groups, d = {d}", points, centers, math.sqrt(d) / 3, offsets, offsets)


def cube(n: int, *, d: int = 3, seed: int = 0) -> Problem:
    """As many queries as centers, which fill the cube of a tanh layer evenly, at the paper's sigma."""
    generator = torch.Generator().manual_seed(seed)
    centers = 2 * torch.rand(n, d, generator=generator) - 1
    return Problem(f"cube, n = m = {n}", _queries(centers, n, PAPER_SIGMA, generator), centers, PAPER_SIGMA)


def noisy_szt_network(n_inputs: int, *, sigma: float = PAPER_SIGMA, seed: int = 0) -> tuple[NoisyModule, Tensor]:
    """The tanh network of the SZT task and its inputs; weights are random, so large that layers lose information."""
    generator = torch.Generator().manual_seed(seed)
    modules: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(SZT_WIDTHS):
        linear = nn.Linear(fan_in, fan_out, device="meta").to_empty(device="cpu")
        nn.init.normal_(linear.weight, std=2 / math.sqrt(fan_in), generator=generator)
        nn.init.zeros_(linear.bias)
        modules += [linear, nn.Tanh()]
    inputs = szt_dataset().inputs
    chosen = torch.randperm(len(inputs), generator=generator)[:n_inputs]
    return noisify(nn.Sequential(*modules[:-1]), sigma=sigma, seed=seed), inputs[chosen]


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """True log-sums at some rows, and the largest and the mean |exponent| there, the mean by softmax weight."""

    rows: npt.NDArray[np.int64]
    log_sums: npt.NDArray[np.longdouble]
    largest_exponent: npt.NDArray[np.float64]
    mean_exponent: npt.NDArray[np.float64]


def truth(problem: Problem) -> Truth:
    """Compute the log-sums of evenly spaced rows by their definition, in long double."""
    count = max(2, min(_CHECKED_ROWS, _CHECKED_COORDINATES // problem.centers.numel()))
    rows = np.unique(np.linspace(0, len(problem.points) - 1, count).astype(np.int64))
    found = [_true_log_sum(problem, int(row)) for row in rows]
    log_sums, largest, mean = (np.array(column) for column in zip(*found, strict=True))
    return Truth(rows, log_sums, largest.astype(np.float64), mean.astype(np.float64))


def _true_log_sum(problem: Problem, row: int) -> tuple[np.longdouble, np.longdouble, np.longdouble]:
    difference = _long(problem.points[row]) - _long(problem.centers[_centers_of(problem, row)])
    exponents = -(difference**2).sum(1) / (2 * np.longdouble(problem.sigma) ** 2)
    terms = np.exp(exponents - exponents.max())
    mean = -(terms @ exponents) / terms.sum()
    return exponents.max() + np.log(terms.sum()), -exponents.min(), mean


def _centers_of(problem: Problem, row: int) -> slice:
    if problem.point_offsets is None or problem.center_offsets is None:
        return slice(None)
    group = int(torch.searchsorted(problem.point_offsets, row, right=True)) - 1
    return slice(int(problem.center_offsets[group]), int(problem.center_offsets[group + 1]))


def _queries(centers: Tensor, m: int, sigma: float, generator: torch.Generator) -> Tensor:
    chosen = centers[torch.randint(len(centers), (m,), generator=generator)]
    return chosen + sigma * torch.randn(chosen.shape, generator=generator)


def _long(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.numpy().astype(np.longdouble)
