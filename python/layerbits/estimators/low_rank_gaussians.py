"""Gaussian decoders for hundreds of dimensions: every input has a covariance of low rank beside a shared one.

In the coordinates in which the average covariance of a noisy value, given its input, is the identity, input x has the
covariance

    C_x = s_x I + U_x (A_x - s_x I) U_x^T,    U_x of shape (d, k) with orthonormal columns,

probabilistic principal components (Tipping and Bishop, 1999), with an inverse by Woodbury's identity: k + 1 products of
d terms for a pair, not d.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder import Decoder
from layerbits.estimators.draw_moments import DrawMoments, cholesky_root, congruent
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.score_sums import score_log_sums
from layerbits.statistics import ByCondition

# Number k of directions in which the covariance of an input differs from a multiple of the shared one. With 16 or 32,
# bounds of wide layers trained on digits are within .04 nats of those with 8.
_RANK = 8

# Iterations of the power method, which finds directions of large variance; no bound rests on its convergence.
_ITERATIONS = 6

# Share of the covariance of an input's own draws, relative to the share that has the least mean squared error. That
# error weighs all entries alike, but a density loses more by too small a variance than by too large a one. On layers of
# digits networks with 24 and 96 draws, the best of .33, .5 and .7 was .5, or within .02 nats of it.
_OWN_SHARE = 0.5

# With a smaller share of their own, the covariances of the inputs hardly differ.
_LEAST_SHARE = 0.02

# Least remaining variance, relative to the shared one, beside the directions of large variance.
_LEAST_VARIANCE = 0.5

# Values of a block of matrices, 32 MiB in float64.
_BLOCK_VALUES = 2**22

# Largest rounding error of a log density, in nats.
_LARGEST_ERROR = 1e-6


class LowRankGaussians(Decoder):
    """A Gaussian for each input whose covariance is of low rank beside a shared one; made by `of`.

    In random networks the covariances of the inputs hardly differ. On the third layer of 128 tanh units trained on
    digits (sigma = 0.3, 512 inputs, 128 draws), the mean term of I(X;T) is 5.01 nats with this decoder and 4.40 with
    one covariance (`python -m benchmarks.topics.wide_decoders`).
    """

    name = "low-rank Gaussian"

    @classmethod
    def of(cls, moments: DrawMoments, classes: Classes) -> LowRankGaussians | None:
        """Return the decoder, or None if it would not help.

        It does not help in at most 16 dimensions, with fewer than 8 draws of an input, if the draws do not show that
        covariances differ, or if rounding would make sums inexact.
        """
        means, error_covariance = moments.shrunk_means
        root = cholesky_root(moments.noise + moments.covariance + error_covariance)
        center = means.mean(0)
        centers = _whitened(root, means - center)
        dim = centers.shape[1]
        # |y|^2 - 2 y c + |c|^2 has a rounding error of about d eps times the largest square.
        rounding = dim * torch.finfo(torch.float64).eps * float(centers.square().sum(1).max())
        if dim <= 2 * _RANK or moments.deviations.shape[1] < max(4, _RANK) or rounding > _LARGEST_ERROR:
            return None
        shared = congruent(root, moments.covariance)
        share = _OWN_SHARE * _best_share(moments.deviations, root, shared)
        if share < _LEAST_SHARE:
            return None
        directions, variances = _own_covariances(moments.deviations, root, shared, share)
        offset = dim * math.log(moments.sigma) - float(root.diagonal().log().sum())
        return cls(classes, (root, center, centers), (directions, variances), offset)

    def __init__(
        self,
        classes: Classes,
        coordinates: tuple[Tensor, Tensor, Tensor],
        covariances: tuple[Tensor, Tensor],
        offset: float,
    ) -> None:
        """Make the decoder of centers (N, d) in the coordinates root^-1 (t - center), and of covariances there.

        `covariances` are directions (N, d, k) and variances (N, k).
        """
        super().__init__(classes)
        self._root, self._center, self._centers = coordinates
        directions, variances = covariances
        n, dim, rank = directions.shape
        self._remaining = ((dim - variances.sum(1)) / (dim - rank)).clamp(min=_LEAST_VARIANCE)
        self._precisions = 1 / variances - 1 / self._remaining[:, None]
        log_determinants = variances.log().sum(1) + (dim - rank) * self._remaining.log()
        self._offsets = offset - log_determinants / 2
        self._variances = variances
        self._directions = directions.permute(1, 0, 2).reshape(dim, n * rank)
        self._projected_centers = (self._centers[:, None] @ directions)[:, 0]

    @property
    def means(self) -> Tensor:
        """Means of q(t|x), (N, d)."""
        return self._center + self._centers @ self._root.mT

    def covariance(self, x: int) -> Tensor:
        """Return the covariance (d, d) of q(t|x) for the input with index x."""
        dim, rank = len(self._directions), self._variances.shape[1]
        directions, remaining = self._directions[:, rank * x : rank * (x + 1)], self._remaining[x]
        whitened = remaining * torch.eye(dim).to(directions)
        whitened += directions * (self._variances[x] - remaining) @ directions.mT
        return self._root @ whitened @ self._root.mT

    def _log_sums(self, queries: Queries) -> ByCondition[Doubles]:
        size = max(1, _BLOCK_VALUES // self._directions.shape[1])
        return score_log_sums(queries, self._classes, size, self._scores)

    def _scores(self, points: Tensor) -> Tensor:
        """Return log densities (m, N) at points (m, d), relative to -d/2 log(2 pi sigma^2)."""
        whitened = _whitened(self._root, points.double() - self._center)
        squares = whitened.square().sum(1, keepdim=True) + self._centers.square().sum(1)
        squares = squares.addmm_(whitened, self._centers.mT, alpha=-2).clamp_(min=0)
        projections = (whitened @ self._directions).view(len(points), *self._projected_centers.shape)
        projections = projections.sub_(self._projected_centers).square_()
        explained = torch.einsum("mnk,nk->mn", projections, self._precisions)
        log_densities: Tensor = self._offsets - (squares / self._remaining + explained) / 2
        return log_densities


def _whitened(root: Tensor, rows: Tensor) -> Tensor:
    """Return root^-1 times each row of (..., d)."""
    flat = rows.flatten(0, -2)  # for a batch of matrices, torch would copy the root for each
    whitened: Tensor = torch.linalg.solve_triangular(root.mT, flat, upper=True, left=False)
    return whitened.view_as(rows)


def _best_share(deviations: Tensor, root: Tensor, shared: Tensor) -> float:
    """Estimate the share rho at which the shared covariance plus rho (own - shared) has the least mean squared error.

    rho is the variance of the true covariances over the inputs divided by that of the observed ones (Ledoit and Wolf,
    2004). Two halves of the draws have independent errors, so products of their covariances estimate the true variance.
    """
    n, r, _ = deviations.shape
    half = r // 2
    products, squares = 0.0, 0.0
    for block in _blocks(deviations, root):
        first, second = (part - part.mean(1, keepdim=True) for part in (block[:, :half], block[:, half:]))
        products += float((first @ second.mT).square().sum()) / ((half - 1) * (r - half - 1))
        squares += float((block @ block.mT).square().sum()) / (r - 1) ** 2
    of_shared = float(shared.square().sum())
    observed = squares / n - of_shared
    return min(1.0, max(0.0, products / n - of_shared) / observed) if observed > 0 else 0.0


def _own_covariances(deviations: Tensor, root: Tensor, shared: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return directions (N, d, k) of large variance of each input, and the variances (N, k) of noisy values there."""
    r = deviations.shape[1]
    all_directions, all_variances = [], []
    for block in _blocks(deviations, root):

        def excess(vectors: Tensor, block: Tensor = block) -> Tensor:
            """Multiply vectors (n, d, k) by the covariance of each input less the shared one."""
            return block.mT @ (block @ vectors) / (r - 1) - shared @ vectors

        directions = block[:, :_RANK].mT
        for _ in range(_ITERATIONS):
            # All eigenvalues exceed -1. The identity is added so that the largest ones are also largest in magnitude.
            directions = torch.linalg.qr(directions).Q
            directions = excess(directions) + directions
        directions = torch.linalg.qr(directions).Q
        eigenvalues, axes = torch.linalg.eigh(directions.mT @ excess(directions))
        all_directions.append(directions @ axes)
        all_variances.append(1 + share * eigenvalues)
    return torch.cat(all_directions), torch.cat(all_variances)


def _blocks(deviations: Tensor, root: Tensor) -> Iterator[Tensor]:
    """Yield the whitened deviations of some inputs at a time."""
    for block in torch.split(deviations, max(1, _BLOCK_VALUES // deviations[0].numel())):
        yield _whitened(root, block)
