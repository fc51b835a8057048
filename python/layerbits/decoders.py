"""Decoders: densities q(t|x) made of some draws, which bound the information of others from below.

For any q, I(X;T) >= log N + E log [q(T|x) / sum_x' q(T|x')] with T a fresh noisy value of the input x (Barber and
Agakov, The IM Algorithm, 2003), and h(T|X) <= -E log q(T|x), h(T) <= -E log q(T).
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from layerbits.classes import Integers
from layerbits.confidence import Doubles
from layerbits.densities import (
    Floats,
    Queries,
    Surprisals,
    class_sizes,
    mixture_sums,
    own_sums,
    sums_by_class,
)
from layerbits.kernels import gaussian_log_sum_exp

# Covariances of their own take d^2 multiply-adds a pair, and as many draws as dimensions to be any good.
_MOST_DIMENSIONS = 32

# The share of the spread of an input's draws that widens the kernels of the wide mixture, by trials on scalar nets.
_WIDENING = 0.09


class Decoder(abc.ABC):
    """Densities q(t|x) of all inputs, each a mixture of equally many components."""

    name: str

    def __init__(self, classes: Integers | None, n_inputs: int, sigma: float) -> None:
        self.classes, self.n_inputs, self.sigma = classes, n_inputs, sigma

    def surprisals(self, queries: Queries) -> Surprisals:
        """Return the surprisals of queries, which must be fresh: not of the draws that the densities are made of."""
        own, in_class, pooled = self._sums(queries)
        sizes = class_sizes(self.classes, queries.inputs, self.n_inputs)
        return Surprisals.from_sums(
            queries.noise_log_density(self.sigma), (own, in_class, pooled), (1, sizes, self.n_inputs)
        )

    @abc.abstractmethod
    def _sums(self, queries: Queries) -> tuple[Doubles, Doubles, Doubles]:
        """Return the log-sums of the densities of the query's input, of the inputs of its class, and of all."""


class WhitenedMixture(Decoder):
    """Components at given places, all with one covariance.

    Parameters
    ----------
    centers : array of shape (N, k, d)
    covariance : array of shape (d, d)
    """

    def __init__(self, name: str, centers: Floats, covariance: Doubles, classes: Integers | None, sigma: float) -> None:
        super().__init__(classes, len(centers), sigma)
        self.name = name
        factor = _root(covariance)
        self._map = np.linalg.inv(factor).T
        dim = centers.shape[2]
        self._offset = dim * np.log(sigma) - np.log(np.diag(factor)).sum() - np.log(centers.shape[1])
        self._centers: Floats = (centers @ self._map).astype(centers.dtype)

    def _sums(self, queries: Queries) -> tuple[Doubles, Doubles, Doubles]:
        mapped = dataclasses.replace(queries, points=(queries.points @ self._map).astype(queries.points.dtype))
        own = own_sums(mapped, self._centers[queries.inputs], 1, 1.0)[0]
        pooled, in_class = mixture_sums(mapped, self._centers, self.classes, 1.0)
        return own + self._offset, in_class + self._offset, pooled + self._offset


class Gaussians(Decoder):
    """A Gaussian for each input.

    Parameters
    ----------
    means : array of shape (N, d)
    covariances : array of shape (N, d, d)
    """

    name = "Gaussian"

    def __init__(self, means: Doubles, covariances: Doubles, classes: Integers | None, sigma: float) -> None:
        super().__init__(classes, len(means), sigma)
        # First the coordinates that tell inputs apart: there the kernel stops, for most.
        spread = np.einsum("nii->i", covariances)
        self._order = np.argsort(-means.var(0) / spread)
        factors = _root(covariances[:, self._order[:, None], self._order])
        self._means = np.ascontiguousarray(means[:, self._order])
        self._factors = np.linalg.inv(factors)
        self._offsets = means.shape[1] * np.log(sigma) - np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)

    def _sums(self, queries: Queries) -> tuple[Doubles, Doubles, Doubles]:
        points = queries.points[..., self._order].astype(np.float64)
        flat = torch.from_numpy(points.reshape(-1, points.shape[2]))

        def over(some: npt.NDArray[np.bool_] | slice) -> Doubles:
            components = (torch.from_numpy(one[some]) for one in (self._means, self._factors, self._offsets))
            return gaussian_log_sum_exp(flat, *components).numpy().reshape(queries.shape)

        pooled, in_class = sums_by_class(over, self.classes, queries.inputs)
        away = points - self._means[queries.inputs][:, None]
        whitened = np.einsum("nij,nqj->nqi", self._factors[queries.inputs], away)
        own = self._offsets[queries.inputs][:, None] - np.square(whitened).sum(-1) / 2
        return own, in_class, pooled


def _root(covariances: Doubles) -> Doubles:
    """Return Cholesky factors (..., d, d) of covariances, with as much on the diagonal as rounding may have taken."""
    dim = covariances.shape[-1]
    total = np.trace(covariances, axis1=-2, axis2=-1)[..., None, None]
    roots: Doubles = np.linalg.cholesky(covariances + dim * np.finfo(np.float64).eps * total * np.eye(dim))
    return roots


def decoders(draws: Floats, classes: Integers | None, sigma: float) -> Iterator[Decoder]:
    """Yield the decoders that draws (N, r, d) allow, made when they are asked for."""
    n, r, dim = draws.shape
    if r < 2:
        return
    # From the first draw, so that equal draws have no spread at all, be the noise ever so small.
    first = draws[:, :1].astype(np.float64)
    away = draws - first
    shift = away.mean(1, keepdims=True)
    means, away = (first + shift)[:, 0], away - shift
    noise = sigma**2 * np.eye(dim)
    # Of a value that is predicted from r draws.
    widened = (1 + 1 / r) / (r - 1)
    if dim <= _MOST_DIMENSIONS:
        spreads = np.einsum("nri,nrj->nij", away, away)
        spread = spreads.mean(0)
        yield Gaussians(means, noise + widened * spreads, classes, sigma)
    else:
        flat = away.reshape(-1, dim)
        spread = flat.T @ flat / n
    shared = noise + widened * spread
    yield WhitenedMixture("shared Gaussian", means[:, None].astype(draws.dtype), shared, classes, sigma)
    wide = noise + _WIDENING / (r - 1) * spread
    yield WhitenedMixture("wide mixture", draws, wide, classes, sigma)
