"""Surprisals of a layer's values at queries: given the input, given its class, and among all inputs.

A surprisal is minus a log density, here less that of the query's own noise: its mean is an entropy above that of the
noise. What has units stays on the device that it came from; what is one number a query is a NumPy array on the host:
for arrays of this size torch's threads cost more than they bring, most of all on a busy machine.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.kernels import as_sigma, log_sum_exp_isotropic, log_sums

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
    """Points (n, q, d) of n inputs: each is a base (a signal) and noise, of the given log density (n, q)."""

    points: Tensor
    bases: Tensor
    noise: Doubles
    inputs: Integers  # which of all inputs, (n,)
    devices: tuple[torch.device, ...] = ()  # that share the sums over many components; none: their own

    @classmethod
    def around(cls, bases: Tensor, sigma: float, normal: Tensor, devices: tuple[torch.device, ...] = ()) -> Queries:
        """Return queries of all inputs: their bases plus sigma times standard normal values."""
        return cls.at(torch.add(bases, normal, alpha=sigma), bases, sigma, devices)

    @classmethod
    def at(cls, points: Tensor, bases: Tensor, sigma: float, devices: tuple[torch.device, ...] = ()) -> Queries:
        """Return queries of all inputs at given points."""
        # Noise of the points as they were rounded, so that it cancels against the same term of the sums.
        away = (points.double() - bases) / sigma
        return cls(points, bases, away.square().sum(-1).div(-2).numpy(force=True), np.arange(len(bases)), devices)

    def of_passes(self, some: slice) -> Queries:
        """Return those of some passes only."""
        return Queries(self.points[:, some], self.bases[:, some], self.noise[:, some], self.inputs, self.devices)

    def of_inputs(self, some: Integers) -> Queries:
        """Return those of some inputs only."""
        return Queries(self.points[some], self.bases[some], self.noise[some], self.inputs[some], self.devices)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of inputs and of queries of each."""
        return self.points.shape[0], self.points.shape[1]

    def log_sums(self, verb: Callable[..., Tensor], *components: Tensor) -> Doubles:
        """Return ``verb(points, *components)``, a number for each query, (n, q)."""
        return log_sums(verb, self.points.flatten(0, 1), components, self.devices).reshape(self.shape)


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


def wide_surprisals(queries: Queries, draws: Tensor, sigma: float) -> Doubles:
    """Return the surprisals of queries by one Gaussian over twice the spread of draws (N, r, d), and the noise."""
    some = draws[:, 0].double()  # one of each input shows the spread
    center, variance = some.mean(0), sigma**2 + 2 * some.var(0, correction=0).mean()
    squares = (queries.points - center).square().sum(-1)
    wide: Doubles = (squares / variance + draws.shape[2] * (variance / sigma**2).log()).numpy(force=True)
    return queries.noise + wide / 2


def log_sum(parts: Doubles) -> Doubles:
    """Return log-sums over the first axis, several times as fast as `numpy.logaddexp.reduce`."""
    most = parts.max(axis=0)
    most = np.where(most > -math.inf, most, 0.0)
    with np.errstate(divide="ignore"):
        summed: Doubles = np.log(np.exp(parts - most).sum(axis=0)) + most
    return summed


def sums_by_class(
    over: Callable[[npt.NDArray[np.bool_] | slice], Doubles], classes: Integers | None, inputs: Integers
) -> tuple[Doubles, Doubles]:
    """Log-sums over the components of all inputs and over those of a query's class, from ``over(those inputs)``.

    The sum over all is put together from the classes, so that labels cost no pair more.
    """
    if classes is None:
        pooled = over(slice(None))
        return pooled, pooled
    parts = np.stack([over(classes == one) for one in range(int(classes.max()) + 1)])
    in_class = np.take_along_axis(parts, classes[inputs][None, :, None], axis=0)[0]
    return log_sum(parts), in_class


def mixture_sums(queries: Queries, centers: Tensor, classes: Integers | None, sigma: float) -> tuple[Doubles, Doubles]:
    """Log-sums of queries over all centers (N, r, d) and over those of their class, each (n, q)."""
    verb = partial(log_sum_exp_isotropic, sigma=as_sigma(sigma))

    def over(some: npt.NDArray[np.bool_] | slice) -> Doubles:
        return queries.log_sums(verb, centers[some].flatten(0, 1))

    return sums_by_class(over, classes, queries.inputs)


def own_sums(queries: Queries, centers: Tensor, parts: int, sigma: float) -> Doubles:
    """Log-sums of queries over the centers (n, r, d) of their own input, cut into `parts`: shape (parts, n, q)."""
    n, draws = centers.shape[:2]
    first = np.arange(n)[:, None] * draws + np.arange(parts) * draws // parts
    log_sums = log_sum_exp_isotropic(
        queries.points.repeat_interleave(parts, 0).flatten(0, 1),
        centers.flatten(0, 1),
        as_sigma(sigma),
        point_offsets=torch.arange(n * parts + 1) * queries.shape[1],
        center_offsets=torch.from_numpy(np.append(first, n * draws)),
    )
    return np.ascontiguousarray(log_sums.numpy(force=True).reshape(n, parts, -1).swapaxes(0, 1))


def class_sizes(classes: Integers | None, inputs: Integers, n_inputs: int) -> Doubles:
    """Numbers of inputs that share the class of each of `inputs`, shape (n, 1)."""
    if classes is None:
        return np.full((1, 1), float(n_inputs))
    return np.bincount(classes)[classes[inputs]][:, None].astype(np.float64)
