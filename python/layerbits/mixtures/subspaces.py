"""Reduction of dimension: isotropic noise orthogonal to the subspace of the centers carries no information.

If all centers lie in a k-dimensional affine subspace of R^d, T = S + Z consists of k coordinates in the subspace and a
remainder of pure noise. So I(S;T) is the information of the k coordinates, and h(T) is their entropy plus
(d - k)/2 log(2 pi e sigma^2). Since k <= n - 1, wide layers of n inputs are reduced without loss. For centers near a
subspace, `Subspace.coordinates` documents a bound of the loss.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from layerbits.kernels import single_threaded_torch

# Loss of information, in nats, below the resolution of every estimate here.
NEGLIGIBLE = 1e-7

# Least sigma in units of rounding of the farthest center.
_STEPS = 8

# Values of a block: 2 MiB in float32, the size of a second-level cache, and 4 MiB in float64.
BLOCK_VALUES = 2**19


@dataclasses.dataclass(frozen=True)
class Subspace:
    """An affine subspace of R^d.

    Attributes
    ----------
    origin : Tensor of shape (d,)
        A point of the subspace near the centers, so that coordinates are small: noise added to large values is rounded.
    directions : Tensor of shape (d, k) or None
        Orthonormal columns, of the dtype in which points are projected; None: the axes of R^d.
    """

    origin: Tensor
    directions: Tensor | None

    def coordinates(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the coordinates of points and their squared distances from the subspace.

        Parameters
        ----------
        points : Tensor of shape (..., d)

        Returns
        -------
        coordinates : Tensor of shape (..., k)
            Coordinates in the subspace, in the dtype of `points`.
        squared_distances : Tensor of shape (...)

        Notes
        -----
        Let R be the part of S orthogonal to the subspace. I(S;T) exceeds the information of the coordinates by at most
        E|R|^2 / (2 sigma^2). With T_1 the part of T in the subspace and T_2 = R + Z_2 the orthogonal part, the excess
        is I(S;T_2|T_1) <= h(T_2) - h(Z_2) by the chain rule. A Gaussian has the largest entropy of all laws of its
        power, so the excess is at most sum_k log(1 + power_k / sigma^2) / 2.
        """
        deviations = points.to(self.origin.dtype) - self.origin
        if self.directions is None:
            return deviations.to(points.dtype), deviations.new_zeros(deviations.shape[:-1])
        coordinates = deviations @ self.directions
        squared_distances = (deviations.square().sum(-1) - coordinates.square().sum(-1)).clamp(min=0)
        return coordinates.to(points.dtype), squared_distances

    def to(self, dtype: torch.dtype) -> Subspace:
        """Return the subspace in the dtype in which points are to be projected."""
        return Subspace(self.origin.to(dtype), None if self.directions is None else self.directions.to(dtype))


@single_threaded_torch()  # the bits of its products depend on the number of threads
def fit_subspace(
    centers: Tensor, sigma: float, *, max_dimensions: int | None = None, max_cost: float = NEGLIGIBLE
) -> Subspace:
    """Compute the smallest affine subspace that loses little information of the centers.

    Parameters
    ----------
    centers : Tensor of shape (n, d)
        Finite values.
    sigma : float
        Standard deviation of the noise. A remainder of mean square r^2 costs at most r^2 / (2 sigma^2) nats.
    max_dimensions : int, optional
        If a cost of `NEGLIGIBLE` leaves more dimensions than this, further dimensions are left out, to no fewer than
        this number and at a total cost of at most `max_cost`. None: only the negligible cost.
    max_cost : float
        Largest total loss of information, in nats, if dimensions are left out because of `max_dimensions`.

    Returns
    -------
    Subspace
        A subspace of at least one dimension: all of R^d if no direction can be left out.
    """
    n, d = centers.shape
    origin = centers.new_empty(d, dtype=torch.float64)
    n_units = max(1, BLOCK_VALUES // n)
    unit_blocks = list(zip(torch.split(centers, n_units, dim=1), torch.split(origin, n_units), strict=True))
    for block, mean in unit_blocks:
        torch.mean(block.double(), 0, out=mean)
    gram = centers.new_zeros(min(n, d), min(n, d), dtype=torch.float64)
    if n >= d:
        for rows in torch.split(centers, max(1, BLOCK_VALUES // d)):
            scaled_deviations = (rows.double() - origin) / (sigma * math.sqrt(n))
            gram.addmm_(scaled_deviations.T, scaled_deviations)
        return Subspace(origin, principal_axes(gram, max_dimensions, max_cost)[0])
    # The smaller Gram matrix has the same nonzero eigenvalues.
    for block, mean in unit_blocks:
        scaled_deviations = (block.double() - mean) / (sigma * math.sqrt(n))
        gram.addmm_(scaled_deviations, scaled_deviations.T)
    axes, _ = principal_axes(gram, max_dimensions, max_cost)
    if axes is None:
        return Subspace(origin, torch.linalg.qr((centers.double() - origin).T).Q)
    directions = centers.new_empty(d, axes.shape[1], dtype=torch.float64)
    for (block, mean), rows in zip(unit_blocks, torch.split(directions, n_units), strict=True):
        torch.mm(((block.double() - mean) / sigma).T, axes, out=rows)
    return Subspace(origin, _orthonormal(directions))


def _orthonormal(columns: Tensor) -> Tensor:
    """Return an orthonormal basis of the space of columns (d, k), which are overwritten if they are almost orthogonal.

    With correlations of a condition number of at most 3 (Gershgorin), a Cholesky decomposition of the Gram matrix gives
    columns that are orthonormal to rounding, without a copy of the columns.
    """
    gram = columns.T @ columns
    norms = gram.diagonal().sqrt()
    correlations = gram / norms / norms[:, None]
    if not bool((correlations.abs().sum(1) < 1.5).all()):
        basis: Tensor = torch.linalg.qr(columns).Q
        return basis
    transform = torch.linalg.inv(torch.linalg.cholesky(gram)).T
    for rows in torch.split(columns, max(1, BLOCK_VALUES // len(gram))):
        rows.copy_(rows @ transform)
    return columns


@single_threaded_torch()  # the bits of its products depend on the number of threads
def affine_coordinates(
    centers: Tensor,
    sigma: float,
    *,
    weights: Tensor | None = None,
    max_dimensions: int | None = None,
    max_cost: float = NEGLIGIBLE,
) -> tuple[Tensor, float]:
    """Compute the coordinates of centers, relative to their mean, in the subspace that `fit_subspace` finds for them.

    Parameters
    ----------
    centers : Tensor of shape (n, d)
        Finite values.
    weights : Tensor of shape (n,), optional
        Nonnegative weights of the centers, of any positive total.
    sigma, max_dimensions, max_cost
        See `fit_subspace`.

    Returns
    -------
    coordinates : Tensor of shape (n, k)
        Coordinates in the subspace, in the dtype of the centers.
    cost : float
        An upper bound of the information that the remainder carries, in nats.
    """
    shares = torch.ones_like(centers[:, 0], dtype=torch.float64) if weights is None else weights.double()
    shares = shares / shares.sum()
    deviations = centers.double()
    deviations = deviations - shares @ deviations
    if len(centers) < centers.shape[1]:
        deviations = torch.linalg.qr(deviations.T, mode="r").R.T  # The rows keep their inner products.
    scaled_deviations = deviations * (shares.sqrt() / sigma)[:, None]
    axes, cost = principal_axes(scaled_deviations.T @ scaled_deviations, max_dimensions, max_cost)
    return (deviations if axes is None else deviations @ axes).to(centers.dtype), cost


def resolved_coordinates(
    centers: Tensor, sigma: float, *, weights: Tensor | None = None, name: str = "sigma"
) -> Tensor:
    """Compute `affine_coordinates` in the dtype of the centers, or in float64 where that is too coarse for the noise.

    Coordinates relative to the mean are rounded in proportion to the distance of the farthest center. This is harmless
    where sigma is at least `_STEPS` units of rounding, and where rounding and noise are small beside all distances of
    different centers.

    Raises
    ------
    ValueError
        In float64 sigma is smaller, and some centers are close; the message begins with `name`.
    """
    coordinates, _ = affine_coordinates(centers.double(), sigma, weights=weights)
    farthest = float(coordinates.norm(dim=1).max())
    for dtype in (centers.dtype, torch.float64):
        least = _STEPS * torch.finfo(dtype).eps * farthest
        if sigma >= least:
            return coordinates.to(dtype)
    if _least_distance(centers) < _STEPS * (least + sigma):
        raise ValueError(
            f"{name}: got {sigma:g}, wanted at least {least:.3g}: float64 does not resolve smaller noise beside "
            f"a center at a distance of {farthest:.3g} from the mean; take larger noise, or leave out far centers"
        )
    return coordinates


def _least_distance(centers: Tensor) -> float:
    """Return the least distance of different centers (n, d); infinity if all are equal."""
    rows = np.unique(centers.double().numpy(force=True), axis=0)
    distances, _ = KDTree(rows).query(rows, k=[2])
    return float(np.min(distances))


def principal_axes(gram: Tensor, max_dimensions: int | None, max_cost: float) -> tuple[Tensor | None, float]:
    """Return the eigenvectors to keep, as columns (None: all axes), and the cost of leaving out the others, in nats."""
    if len(gram) == 1 or not gram.isfinite().all():
        return None, 0.0
    eigenvalues, eigenvectors = torch.linalg.eigh(gram)
    eigenvalues = eigenvalues.cpu()  # one copy synchronizes once; reading single values below would do so each time
    costs = eigenvalues.clamp(min=0).cumsum(0) / 2
    # If rounding may have changed eigenvalues by more than the negligible cost, no direction is known to be empty.
    rounding = len(gram) * torch.finfo(torch.float64).eps * float(eigenvalues[-1])
    n_removed = int((costs <= NEGLIGIBLE).sum()) if rounding <= NEGLIGIBLE else 0
    if max_dimensions is not None and len(gram) - n_removed > max_dimensions:
        n_removed = max(n_removed, min(int((costs <= max_cost).sum()), len(gram) - max_dimensions))
    n_removed = min(n_removed, len(gram) - 1)
    return (eigenvectors[:, n_removed:], float(costs[n_removed - 1])) if n_removed else (None, 0.0)
