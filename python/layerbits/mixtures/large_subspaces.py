"""Reduction of dimension of many values, which are converted to float64 block by block."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerbits.mixtures.subspaces import BLOCK_VALUES, NEGLIGIBLE, Subspace, fit_subspace, principal_axes

# Largest error, in units of sigma, of coordinates that come from products of points.
_LARGEST_ERROR = 1e-6


def as_points(values: Tensor) -> Tensor:
    """Convert values in half precision to float32; return other values unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def with_equal_distances(points: Tensor) -> Tensor:
    """Return points in float64 that have the distances of points (n, d) from one another.

    Few points of many values get n dimensions, by a QR decomposition of blocks, without a copy of all values.
    """
    n, d = points.shape
    return _triangle(points).T if n < d and points.numel() > BLOCK_VALUES else points.double()


def coordinates_in_blocks(
    points: Tensor,
    sigma: float,
    *,
    fitted: int,
    max_gram: int | None = None,
    max_dimensions: int | None = None,
    max_cost: float = NEGLIGIBLE,
) -> tuple[Tensor, Tensor]:
    """Compute the coordinates of points in the subspace that is fitted to the first `fitted` points of each row.

    Parameters
    ----------
    points : Tensor of shape (n, r, d)
        Finite values; those in half precision are converted block by block.
    sigma, max_dimensions, max_cost
        As in `fit_subspace`.
    fitted : int
        Number of points of each row, from 1 to r, to which the subspace is fitted.
    max_gram : int, optional
        If the dimensions and the fitted points are both more than this, no subspace is fitted, and coordinates are
        those of R^d relative to the mean of the fitted points.

    Returns
    -------
    coordinates : Tensor of shape (n, r, k)
        In the dtype of the points, or in float32 for half precision.
    squared_distances : Tensor of shape (n, r)
        Squared distances of the points from the subspace, in float64.

    Notes
    -----
    With fewer fitted points x_i than dimensions, let X have rows x_i - mean. The directions are X' v / sqrt(w) for
    eigenvectors v and eigenvalues w of X X'. So the coordinates of all points follow from their products with the
    fitted points, and the directions, of d values each, are not computed. Products have an error of some eps |x|^2, and
    coordinates an error of some eps |x|^2 / sqrt(w). If the least w makes this error too large, and all points are
    fitted, the coordinates come from a QR decomposition of X'; otherwise `fit_subspace` computes the directions.
    """
    n, r, d = points.shape
    n_fitted = n * fitted
    if max_gram is not None and min(n_fitted, d) > max_gram:
        return _in_row_blocks(points, Subspace(_mean(points, fitted), None))
    if n_fitted >= d:
        mean = _mean(points, fitted)
        gram = torch.zeros(d, d, dtype=torch.float64, device=points.device)
        for block in _row_blocks(points[:, :fitted]):
            scaled_deviations = (block.double() - mean).flatten(0, 1) / (sigma * math.sqrt(n_fitted))
            gram.addmm_(scaled_deviations.T, scaled_deviations)
        return _in_row_blocks(points, Subspace(mean, principal_axes(gram, max_dimensions, max_cost)[0]))
    products, squares = _products(points, fitted)
    gram = products.view(n, -1, n_fitted)[:, :fitted].flatten(0, 1)
    axes = principal_axes(gram / (sigma**2 * n_fitted), max_dimensions, max_cost)[0]
    if axes is not None:
        coordinates = products @ axes
        eigenvalues = (coordinates.view(n, r, -1)[:, :fitted].flatten(0, 1) * axes).sum(0)
        rounding = n_fitted * torch.finfo(torch.float64).eps * float(eigenvalues.max())
        if rounding <= _LARGEST_ERROR * sigma * math.sqrt(max(0.0, float(eigenvalues.min()))):
            coordinates /= eigenvalues.sqrt()
            squared_distances = (squares - coordinates.square().sum(1)).clamp(min=0)
            dtype = torch.promote_types(points.dtype, torch.float32)
            return coordinates.to(dtype).view(n, r, -1), squared_distances.view(n, r)
    if fitted == r:
        rows = _triangle(points.flatten(0, 1)).T
        axes = principal_axes(rows.T @ rows / (sigma**2 * n_fitted), max_dimensions, max_cost)[0]
        coordinates, squared_distances = Subspace(rows.new_zeros(n_fitted), axes).coordinates(rows)
        dtype = torch.promote_types(points.dtype, torch.float32)
        return coordinates.to(dtype).view(n, r, -1), squared_distances.view(n, r)
    centers = points[:, :fitted].flatten(0, 1)
    return _in_row_blocks(points, fit_subspace(centers, sigma, max_dimensions=max_dimensions, max_cost=max_cost))


def _row_blocks(points: Tensor) -> tuple[Tensor, ...]:
    return torch.split(points, max(1, BLOCK_VALUES // max(1, points[0].numel())))


def _mean(points: Tensor, fitted: int) -> Tensor:
    """Return the mean, shape (d,), of the first `fitted` points of each row."""
    total = sum(block.double().sum((0, 1)) for block in _row_blocks(points[:, :fitted]))
    assert isinstance(total, Tensor)
    return total / (len(points) * fitted)


def _in_row_blocks(points: Tensor, subspace: Subspace) -> tuple[Tensor, Tensor]:
    n, r, d = points.shape
    n_axes = d if subspace.directions is None else subspace.directions.shape[1]
    coordinates = points.new_empty(n, r, n_axes, dtype=torch.promote_types(points.dtype, torch.float32))
    squared_distances = points.new_empty(n, r, dtype=torch.float64)
    start = 0
    for block in _row_blocks(points):
        rows = slice(start, start + len(block))
        coordinates[rows], squared_distances[rows] = subspace.coordinates(as_points(block))
        start = rows.stop
    return coordinates, squared_distances


def _triangle(points: Tensor) -> Tensor:
    """Return the factor R, (m, m), of a QR decomposition of the transposed deviations of points (m, d).

    Deviations are from the mean; the columns of R have their inner products. Each decomposition takes R and a block of
    units, m / 2 at least.
    """
    m = len(points)
    triangle = torch.zeros(m, m, dtype=torch.float64, device=points.device)
    for block in torch.split(points, max(m // 2, BLOCK_VALUES // m, 1), dim=1):
        deviations = block.double()
        triangle = torch.linalg.qr(torch.cat([triangle, (deviations - deviations.mean(0)).T]), mode="r").R
    return triangle


def _products(points: Tensor, fitted: int) -> tuple[Tensor, Tensor]:
    """Return the inner products (n r, n fitted) of all points with the fitted points, and the squared norms (n r,).

    Points are relative to the mean of the fitted points.
    """
    n, r = points.shape[:2]
    products = torch.zeros(n * r, n * fitted, dtype=torch.float64, device=points.device)
    squares = products.new_zeros(n * r)
    for block in torch.split(points, max(1, BLOCK_VALUES // (n * r)), dim=2):
        deviations = block.to(torch.float64, copy=True)
        deviations -= deviations[:, :fitted].mean((0, 1))
        rows = deviations.flatten(0, 1)
        products.addmm_(rows, deviations[:, :fitted].flatten(0, 1).T)
        squares += rows.square().sum(1)
    return products, squares
