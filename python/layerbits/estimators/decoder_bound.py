"""Decoders: densities q(t|x) made of some draws, which bound the information of others from below.

For any q, I(X;T) >= log N + E log [q(T|x) / sum_x' q(T|x')] with T a fresh noisy value of the input x (Barber and
Agakov, The IM Algorithm, 2003), and h(T|X) <= -E log q(T|x), h(T) <= -E log q(T).
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.estimators.log_densities import Queries, Surprisals, class_sizes, mixture_sums, own_sums, sums_by_class
from layerbits.kernels import log_sum_exp_full

# Covariances of their own take d^2 multiply-adds a pair, and as many draws as dimensions to be any good.
_MOST_DIMENSIONS = 32

# The share of the spread of an input's draws that widens the kernels of the wide mixture, by trials on scalar nets.
_WIDENING = 0.09


class Decoder(abc.ABC):
    """Densities q(t|x) of all inputs, each a mixture of equally many components."""

    name: str

    def __init__(self, classes: Integers | None, n_inputs: int) -> None:
        self.classes, self.n_inputs = classes, n_inputs

    def surprisals(self, queries: Queries) -> Surprisals:
        """Return the surprisals of queries, which must be fresh: not of the draws that the densities are made of."""
        own, in_class, pooled = self._sums(queries)
        sizes = class_sizes(self.classes, queries.inputs, self.n_inputs)
        return Surprisals.from_sums(queries.noise, (own, in_class, pooled), (1, sizes, self.n_inputs))

    @abc.abstractmethod
    def _sums(self, queries: Queries) -> tuple[Doubles, Doubles, Doubles]:
        """Return the log-sums of the densities of the query's input, of the inputs of its class, and of all."""


class WhitenedMixture(Decoder):
    """Components at given places, all with one covariance.

    Parameters
    ----------
    centers : Tensor of shape (N, k, d)
    covariance : float64 Tensor of shape (d, d)
    """

    def __init__(self, name: str, centers: Tensor, covariance: Tensor, classes: Integers | None, sigma: float) -> None:
        super().__init__(classes, len(centers))
        self.name = name
        inverse, log_volume = _inverse_root(covariance)
        self._map = inverse.mT
        self._offset = centers.shape[2] * math.log(sigma) - float(log_volume) - math.log(centers.shape[1])
        self._centers = self._mapped(centers)

    def _mapped(self, points: Tensor) -> Tensor:
        return (points.double() @ self._map).to(points.dtype)

    def _sums(self, queries: Queries) -> tuple[Doubles, Doubles, Doubles]:
        mapped = dataclasses.replace(queries, points=self._mapped(queries.points))
        own = own_sums(mapped, self._centers[queries.inputs], 1, 1.0)[0]
        pooled, in_class = mixture_sums(mapped, self._centers, self.classes, 1.0)
        return own + self._offset, in_class + self._offset, pooled + self._offset


class Gaussians(Decoder):
    """A Gaussian for each input.

    Parameters
    ----------
    means : float64 Tensor of shape (N, d)
    covariances : float64 Tensor of shape (N, d, d)
    """

    name = "Gaussian"

    def __init__(self, means: Tensor, covariances: Tensor, classes: Integers | None, sigma: float) -> None:
        super().__init__(classes, len(means))
        # First the coordinates that tell inputs apart: there the kernel stops, for most.
        spread = covariances.diagonal(dim1=1, dim2=2).sum(0)
        self._order = (means.var(0, correction=0) / spread).argsort(descending=True, stable=True)
        self._means = means[:, self._order]
        self._factors, log_volumes = _inverse_root(covariances[:, self._order[:, None], self._order])
        self._offsets = means.shape[1] * math.log(sigma) - log_volumes

    def _sums(self, queries: Queries) -> tuple[Doubles, Doubles, Doubles]:
        points = queries.points[..., self._order].double()
        ordered = dataclasses.replace(queries, points=points)

        def over(some: npt.NDArray[np.bool_] | slice) -> Doubles:
            components = (one[some] for one in (self._means, self._factors, self._offsets))
            return ordered.log_sums(log_sum_exp_full, *components)

        pooled, in_class = sums_by_class(over, self.classes, queries.inputs)
        means, factors, offsets = (one[queries.inputs] for one in (self._means, self._factors, self._offsets))
        whitened = (points - means[:, None]) @ factors.mT
        own = offsets[:, None] - whitened.square().sum(-1) / 2
        return own.numpy(force=True), in_class, pooled


def _inverse_root(covariances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inverses (..., d, d) of Cholesky factors of covariances, and the logarithms of their determinants.

    The determinants are those of the factors, which have as much more on the diagonal as rounding may have taken.
    """
    unit = torch.eye(covariances.shape[-1], dtype=torch.float64, device=covariances.device)
    total = covariances.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    roots = torch.linalg.cholesky(covariances + len(unit) * torch.finfo(torch.float64).eps * total * unit)
    inverses = torch.linalg.solve_triangular(roots, unit, upper=False)
    return inverses, roots.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def decoders(draws: Tensor, classes: Integers | None, sigma: float) -> Iterator[Decoder]:
    """Yield the decoders that draws (N, r, d) allow, made when they are asked for."""
    n, r, dim = draws.shape
    if r < 2:
        return
    # From the first draw, so that equal draws have no spread at all, be the noise ever so small.
    first = draws[:, :1].double()
    away = draws - first
    shift = away.mean(1, keepdim=True)
    means, away = (first + shift)[:, 0], away - shift
    noise = sigma**2 * torch.eye(dim, dtype=torch.float64, device=draws.device)
    # Of a value that is predicted from r draws.
    widened = (1 + 1 / r) / (r - 1)
    if dim <= _MOST_DIMENSIONS:
        spreads = away.mT @ away
        spread = spreads.mean(0)
        yield Gaussians(means, noise + widened * spreads, classes, sigma)
    else:
        flat = away.flatten(0, 1)
        spread = flat.mT @ flat / n
    shared = noise + widened * spread
    yield WhitenedMixture("shared Gaussian", means[:, None].to(draws.dtype), shared, classes, sigma)
    wide = noise + _WIDENING / (r - 1) * spread
    yield WhitenedMixture("wide mixture", draws, wide, classes, sigma)
