"""Log densities of a layer at queries: given the input, given its class, and marginal.

A query t = s + z is a signal plus noise. A log density here is relative to the log density of the query's own noise,

    log p(t|A) - log N(z; 0, sigma^2 I),

in which |z|^2 cancels. Minus the mean of this difference is h(T|A) less the entropy of the noise. An information is the
mean difference of two such terms at the same queries. For I(X;T) of separated inputs every difference is log N. With
`alpha`, the noise of a signal s has the covariance diag(sigma^2 + alpha^2 s^2) in place of sigma^2 I.

Arrays in the layer's units (signals, queries, covariances) are tensors on the network's device. Arrays with a number
for each query are NumPy arrays on the host, where jackknife and bets cost little; so the same code serves CPU and CUDA.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers, log_add_exp, log_sum_exp
from layerbits.estimators.classes import Classes
from layerbits.estimators.diagonal_gaussians import DiagonalGaussians, dropout_variances
from layerbits.kernels import NO_WORKERS, Workers, as_sigma, isotropic_log_sums, log_sum_exp_isotropic, log_sums
from layerbits.mixtures import means_of
from layerbits.statistics import ByCondition, Quantity

# Log densities at queries, shape (n, q), relative to the log density of the noise.
LogDensities = ByCondition[Doubles]


@dataclasses.dataclass(frozen=True)
class Queries:
    """Queries of n inputs, q queries of each.

    Attributes
    ----------
    points : Tensor of shape (n, q, d)
        The queries t = s + z.
    bases : Tensor of shape (n, q, d)
        The signals s; with `alpha`, complex for a mean over tokens.
    sigma : float
        Standard deviation of the noise; with `alpha`, that of the noise of a signal of 0.
    noise_log_density : array of shape (n, q)
        Log density of the noise z, without the term -d/2 log(2 pi sigma^2).
    inputs : integer array of shape (n,)
        Indices of the inputs among all N.
    workers : Workers
        Devices and processes that share the sums over many components.
    alpha : float
        Standard deviation of the noise relative to the signal: `DropoutNoise`. 0 if all signals have the same noise.
    """

    points: Tensor
    bases: Tensor
    sigma: float
    noise_log_density: Doubles
    inputs: Integers
    workers: Workers = NO_WORKERS
    alpha: float = 0.0

    @classmethod
    def around(
        cls, bases: Tensor, sigma: float, normal: Tensor, workers: Workers = NO_WORKERS, alpha: float = 0.0
    ) -> Queries:
        """Return queries of all inputs: bases plus standard normal values times the deviation, all (N, q, d)."""
        if not alpha:
            return cls.at(torch.add(bases, normal, alpha=sigma), bases, sigma, workers)
        noise = dropout_variances(bases, sigma, alpha).sqrt_().to(normal.dtype).mul_(normal)
        return cls.at(means_of(bases) + noise, bases, sigma, workers, alpha)

    @classmethod
    def at(
        cls, points: Tensor, bases: Tensor, sigma: float, workers: Workers = NO_WORKERS, alpha: float = 0.0
    ) -> Queries:
        """Return queries of all inputs at given points."""
        # The noise is that of the rounded points, so that its log density cancels against the same term of log-sums.
        if alpha:
            noise_log_density = DiagonalGaussians.around(bases, sigma, alpha).log_density(points)
        else:
            noise = points.to(torch.float64, copy=True).sub_(bases).div_(sigma)
            noise_log_density = noise.square_().sum(-1).div(-2).numpy(force=True)
        return cls(points, bases, sigma, noise_log_density, np.arange(len(bases)), workers, alpha)

    def select(self, inputs: Integers | slice, passes: slice) -> Queries:
        """Return the queries of some inputs in a range of passes."""
        return dataclasses.replace(
            self,
            points=self.points[inputs][:, passes],
            bases=self.bases[inputs][:, passes],
            noise_log_density=self.noise_log_density[inputs][:, passes],
            inputs=self.inputs[inputs],
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Number of inputs and number of queries of each, (n, q)."""
        return self.points.shape[0], self.points.shape[1]

    def log_sums(self, operation: Callable[..., Tensor], *components: Tensor) -> Doubles:
        """Return ``operation(points, *components)`` for each query, (n, q)."""
        return log_sums(operation, self.points.flatten(0, 1), components, self.workers).reshape(self.shape)


def terms(quantity: Quantity, log_densities: LogDensities) -> Doubles:
    """Return the terms (n, q) whose mean is a quantity: log p(t|x) - log p(t) for I(X;T), -log p(t) for h(T)."""
    minuend = log_densities[quantity.minuend]
    return -minuend if quantity.subtrahend is None else log_densities[quantity.subtrahend] - minuend


def mixture_log_densities(
    queries: Queries, classes: Classes, log_sums: ByCondition[Doubles], components: int
) -> LogDensities:
    """Return log densities of mixtures from log-sums over their components, `components` for each input."""
    of_components = log_sums.map(lambda values: values - math.log(components) - queries.noise_log_density)
    marginal = of_components.marginal - math.log(classes.n_inputs)
    if len(classes.members) == 1:
        return ByCondition(of_components.given_input, marginal, marginal)
    in_class = of_components.given_class - np.log(classes.sizes(queries.inputs))
    return ByCondition(of_components.given_input, in_class, marginal)


def mixed(log_density: Doubles, admixture: Doubles, weight: float) -> Doubles:
    """Return the log density of a mixture in which the second density has the given weight."""
    return log_add_exp(math.log1p(-weight) + log_density, math.log(weight) + admixture)


def log_sums_by_class(
    queries: Queries, classes: Classes, log_sums_over: Callable[[Integers | slice], Doubles]
) -> tuple[Doubles, Doubles]:
    """Return log-sums (n, q) over the components of the query's class, and over the components of all inputs.

    `log_sums_over(inputs)` returns the log-sums at all queries over the components of these inputs. The sum over all
    inputs is the sum over the classes, so labels cost no further pairs.
    """
    if len(classes.members) == 1:
        over_all = log_sums_over(slice(None))
        return over_all, over_all
    parts = np.stack([log_sums_over(members) for members in classes.members])
    own_class = classes.numbers[queries.inputs][None, :, None]
    return np.take_along_axis(parts, own_class, axis=0)[0], log_sum_exp(parts)


def mixture_log_sums(queries: Queries, centers: Tensor, classes: Classes) -> tuple[Doubles, Doubles]:
    """Return log-sums (n, q) over the centers (N, r, d) of the query's class, and over all centers."""
    if queries.alpha:
        return diagonal_log_sums(queries, DiagonalGaussians.around(centers, queries.sigma, queries.alpha), classes)
    points, sigma = queries.points.flatten(0, 1), as_sigma(queries.sigma)

    def log_sums_over(inputs: Integers | slice) -> Doubles:
        components = centers[inputs].flatten(0, 1)
        return isotropic_log_sums(points, components, sigma, workers=queries.workers).reshape(queries.shape)

    return log_sums_by_class(queries, classes, log_sums_over)


def diagonal_log_sums(queries: Queries, components: DiagonalGaussians, classes: Classes) -> tuple[Doubles, Doubles]:
    """Return log-sums (n, q) over the components of the query's class, and over those of all N inputs."""
    points, workers = queries.points.flatten(0, 1), queries.workers

    def log_sums_over(inputs: Integers | slice) -> Doubles:
        return components.select(inputs).log_sums(points, workers).reshape(queries.shape)

    return log_sums_by_class(queries, classes, log_sums_over)


def own_log_sums(queries: Queries, centers: Tensor, parts: int) -> Doubles:
    """Return log-sums over parts of the centers (n, r, d) of the query's input, (parts, n, q)."""
    if queries.alpha:
        components = DiagonalGaussians.around(centers, queries.sigma, queries.alpha)
        return components.own_log_sums(queries.points, parts)
    n, draws, dim = centers.shape
    if draws == parts and dim == 1:  # no sums: a kernel would take longer to pack the groups
        squares = ((queries.points.double() - centers.double().mT) / queries.sigma).square_()
        return np.ascontiguousarray(squares.div_(-2).permute(2, 0, 1).numpy(force=True))
    starts = np.arange(n)[:, None] * draws + np.arange(parts) * draws // parts
    log_sums = log_sum_exp_isotropic(
        queries.points.repeat_interleave(parts, 0).flatten(0, 1),
        centers.flatten(0, 1),
        as_sigma(queries.sigma),
        point_offsets=torch.arange(n * parts + 1) * queries.shape[1],
        center_offsets=torch.from_numpy(np.append(starts, n * draws)),
    )
    return np.ascontiguousarray(log_sums.numpy(force=True).reshape(n, parts, -1).swapaxes(0, 1))
