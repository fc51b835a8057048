"""Surprisals of a layer's values at queries: given the input, given its class, and among all inputs.

A surprisal is minus a log density, here less that of the query's own noise: its mean is an entropy above that of the
noise. In NumPy: for arrays of this size torch's threads cost more than they bring, most of all on a busy machine.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from layerbits.classes import Integers
from layerbits.confidence import Doubles
from layerbits.kernels import as_sigma, log_sum_exp

Floats = npt.NDArray[Any]  # float32 or float64

# Every quantity is the mean of one surprisal, or of the difference of two.
QUANTITIES = {
    "I(X;T)": ("marginal", "by_input"),
    "h(T)": ("marginal", None),
    "h(T|X)": ("by_input", None),
    "I(T;Y)": ("marginal", "by_class"),
    "I(X;T|Y)": ("by_class", "by_input"),
}


@dataclasses.dataclass(frozen=True)
class Queries:
    """Points (n, q, d) of n inputs: each is a base (a signal) and noise."""

    points: Floats
    bases: Floats
    inputs: Integers  # which of all inputs, (n,)

    @classmethod
    def around(cls, bases: Floats, sigma: float, noise: Floats) -> Queries:
        """Return queries of all inputs: their bases plus sigma times standard normal values."""
        points = bases + np.asarray(sigma, bases.dtype) * noise
        return cls(points, bases, np.arange(len(bases)))

    def of_passes(self, some: slice) -> Queries:
        """Return those of some passes only."""
        return Queries(self.points[:, some], self.bases[:, some], self.inputs)

    def of_inputs(self, some: Integers) -> Queries:
        """Return those of some inputs only."""
        return Queries(self.points[some], self.bases[some], self.inputs[some])

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of inputs and of queries of each."""
        return self.points.shape[0], self.points.shape[1]

    def flat(self) -> torch.Tensor:
        """Return the points as (n q, d)."""
        return torch.from_numpy(self.points.reshape(-1, self.points.shape[2]))

    def noise_log_density(self, sigma: float) -> Doubles:
        """Return the log density of the noise of each, (n, q)."""
        # From the points as they were rounded, so that it cancels against the same term of the sums.
        away = (self.points - self.bases.astype(np.float64)) / sigma
        squared: Doubles = np.square(away).sum(-1)
        return squared / -2


@dataclasses.dataclass(frozen=True)
class Surprisals:
    """At queries, each of shape (n, q)."""

    by_input: Doubles
    by_class: Doubles
    marginal: Doubles

    @classmethod
    def from_sums(
        cls, noise: Doubles, sums: tuple[Doubles, Doubles, Doubles], sizes: tuple[Doubles | float, ...]
    ) -> Surprisals:
        """Return them from log densities of the noise, log-sums over components, and the numbers of components."""
        return cls(*(noise - log_sum + np.log(size) for log_sum, size in zip(sums, sizes, strict=True)))

    def terms(self, quantity: str) -> Doubles:
        """Return what `quantity` is the mean of."""
        one, other = QUANTITIES[quantity]
        terms: Doubles = getattr(self, one) - (getattr(self, other) if other else 0.0)
        return terms

    def at(self, inputs: Integers | slice, passes: slice) -> Surprisals:
        """Return those of some inputs in some passes."""
        return Surprisals(*(one[inputs][:, passes] for one in (self.by_input, self.by_class, self.marginal)))

    def mixed_with(self, other: Surprisals, share: float) -> Surprisals:
        """Return those of the mixture of these densities and, with weight `share`, of the others."""
        return Surprisals(
            _mixed(self.by_input, other.by_input, share),
            _mixed(self.by_class, other.by_class, share),
            _mixed(self.marginal, other.marginal, share),
        )

    def cautious(self, wide: Doubles, share: float) -> Surprisals:
        """Return those of densities that with probability `share` expect anything: p(t|x) what p(t) does, p(t) all."""
        marginal = _mixed(self.marginal, wide, share)
        return Surprisals(_mixed(self.by_input, marginal, share), _mixed(self.by_class, marginal, share), marginal)


def _mixed(mine: Doubles, other: Doubles, share: float) -> Doubles:
    mixed: Doubles = -np.logaddexp(np.log1p(-share) - mine, np.log(share) - other)
    return mixed


def wide_surprisals(queries: Queries, draws: Floats, sigma: float) -> Doubles:
    """Return the surprisals of queries by one Gaussian over twice the spread of draws (N, r, d), and the noise."""
    some = draws[:, 0].astype(np.float64)  # one of each input shows the spread
    center, variance = some.mean(0), sigma**2 + 2 * float(some.var(0).mean())
    squares: Doubles = np.square(queries.points - center).sum(-1)
    wide: Doubles = squares / (2 * variance) + draws.shape[2] / 2 * math.log(variance / sigma**2)
    return queries.noise_log_density(sigma) + wide


def sums_by_class(
    over: Callable[[npt.NDArray[np.bool_] | slice], Doubles], classes: Integers | None, inputs: Integers
) -> tuple[Doubles, Doubles]:
    """Log-sums over the components of all inputs and over those of a query's class, from ``over(those inputs)``.

    The sum over all is put together from the classes, so that labels cost no pair more.
    """
    if classes is None:
        pooled = over(slice(None))
        return pooled, pooled
    parts = [over(classes == one) for one in range(int(classes.max()) + 1)]
    in_class = np.take_along_axis(np.stack(parts), classes[inputs][None, :, None], axis=0)[0]
    return np.logaddexp.reduce(parts), in_class


def mixture_sums(queries: Queries, centers: Floats, classes: Integers | None, sigma: float) -> tuple[Doubles, Doubles]:
    """Log-sums of queries over all centers (N, r, d) and over those of their class, each (n, q)."""
    flat = queries.flat()

    def over(some: npt.NDArray[np.bool_] | slice) -> Doubles:
        chosen = torch.from_numpy(centers[some].reshape(-1, centers.shape[2]))
        found: Doubles = log_sum_exp(flat, chosen, as_sigma(sigma)).numpy()
        return found.reshape(queries.shape)

    return sums_by_class(over, classes, queries.inputs)


def own_sums(queries: Queries, centers: Floats, parts: int, sigma: float) -> Doubles:
    """Log-sums of queries over the centers (n, r, d) of their own input, cut into `parts`: shape (parts, n, q)."""
    n, draws, dim = centers.shape
    first = np.arange(n)[:, None] * draws + np.arange(parts) * draws // parts
    log_sums = log_sum_exp(
        torch.from_numpy(np.repeat(queries.points, parts, axis=0).reshape(-1, dim)),
        torch.from_numpy(centers.reshape(-1, dim)),
        as_sigma(sigma),
        point_offsets=torch.arange(n * parts + 1) * queries.shape[1],
        center_offsets=torch.from_numpy(np.append(first, n * draws)),
    )
    return np.ascontiguousarray(log_sums.numpy().reshape(n, parts, -1).swapaxes(0, 1))


def class_sizes(classes: Integers | None, inputs: Integers, n_inputs: int) -> Doubles:
    """Numbers of inputs that share the class of each of `inputs`, shape (n, 1)."""
    if classes is None:
        return np.full((1, 1), float(n_inputs))
    return np.bincount(classes)[classes[inputs]][:, None].astype(np.float64)
