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

from layerbits.data.szt import szt_dataset
from layerbits.noise import NoisyModule, noisify
from layerbits.propagation import propagate

SZT_WIDTHS = (12, 10, 7, 5, 4, 3, 2)
PAPER_SIGMA = 0.005

_CHECKED_ROWS = 128


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


def ragged(groups: int, *, d: int = 5, seed: int = 0) -> Problem:
    """Groups of 1 to 8 points and 1 to 64 centers: the conditional entropies of a layer."""
    generator = torch.Generator().manual_seed(seed)
    points, centers = (torch.randint(1, most + 1, (groups,), generator=generator) for most in (8, 64))
    return Problem(
        f"ragged groups, d = {d}",
        torch.randn(int(points.sum()), d, generator=generator),
        torch.randn(int(centers.sum()), d, generator=generator),
        math.sqrt(d) / 3,
        _offsets(points),
        _offsets(centers),
    )


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
    rows = np.unique(np.linspace(0, len(problem.points) - 1, _CHECKED_ROWS).astype(np.int64))
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


def _offsets(sizes: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])


def _long(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.numpy().astype(np.longdouble)
