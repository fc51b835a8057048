"""Log-sums at the points where an expansion is certain."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerbits.kernels.grids.cells import MAX_CELLS, CenterCells, keys_of
from layerbits.kernels.grids.line import line_log_sums
from layerbits.kernels.grids.plane import plane_log_sums
from layerbits.kernels.grids.tables import PlaneTables, Tables
from layerbits.kernels.native_interface import Mixture

# A smaller tolerance would need cells too narrow for the bounds of rounding.
LEAST_TOLERANCE = 1e-8

_BLOCK = 2**18  # points whose cells are computed together: at most 512 MiB of coefficients in the plane


def gridded_log_sums(mixture: Mixture, tolerance: float, cells_per_point: float = 1.0) -> Tensor | None:
    """Return log sum_j w_j exp(-|points_i - centers_j|^2 / (2 sigma^2)) where it is certain.

    Parameters
    ----------
    mixture : Mixture
        Without groups, of one or two dimensions, on any device.
    tolerance : float
        Largest error of a log-sum, in nats, at least `LEAST_TOLERANCE`.
    cells_per_point : float
        Largest number of cells per point that is worth the time.

    Returns
    -------
    Tensor of shape (m,), float64, or None
        NaN where the log-sum is not certain, such as far from all centers. None if a center or weight does not suit the
        method, such as NaN, or a weight below 2^-1021 of the largest one, or if there are more cells than
        `cells_per_point` allows.
    """
    fraction, exponent = math.frexp(mixture.sigma)
    scale = math.ldexp(1.0, -exponent)
    points, centers = (rows.double() * scale for rows in (mixture.points, mixture.centers))
    weights = torch.ones_like(centers[:, 0]) if mixture.weights is None else mixture.weights.double()
    weight_exponent = 0 if mixture.weights is None else math.frexp(float(weights.max()))[1]
    weights = torch.ldexp(weights, weights.new_tensor(-weight_exponent))
    tables = Tables.of(points.shape[1], fraction, tolerance, points.device)
    # Comparisons with NaN are false. The scale is infinite if all weights are below 2^-1024.
    are_normal = (weights == 0) | ((weights >= 2.0**-1021) & (weights <= 1))
    if not bool(((centers / tables.step).abs() < MAX_CELLS).all() & are_normal.all()):
        return None
    cells = CenterCells.of(centers, weights, tables)
    blocks = []
    for block in torch.split(points, _BLOCK):
        log_sums = _block_log_sums(block, cells, tables, cells_per_point)
        if log_sums is None:
            return None
        blocks.append(log_sums)
    return torch.cat(blocks) + weight_exponent * math.log(2)


def _block_log_sums(points: Tensor, cells: CenterCells, tables: Tables, cells_per_point: float) -> Tensor | None:
    """Return the log-sums at scaled points, NaN where they are not certain; None if there are too many cells."""
    is_near = ((points / tables.step).abs() < MAX_CELLS).all(1)
    index, offsets = tables.cells_of(torch.where(is_near[:, None], points, 0.0))
    keys, cell = torch.unique(keys_of(index), return_inverse=True)
    if len(keys) > cells_per_point * len(points):
        return None
    index_of_cell = index.new_empty(len(keys), index.shape[1])
    index_of_cell[cell] = index  # points of one cell write the same index
    if isinstance(tables, PlaneTables):
        log_sums = plane_log_sums(offsets, index_of_cell, cell, cells, tables)
    else:
        log_sums = line_log_sums(offsets, index_of_cell, cell, cells, tables)
    return torch.where(is_near, log_sums, torch.nan)
