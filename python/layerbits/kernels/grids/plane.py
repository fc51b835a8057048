"""Sums in cells of points of the plane.

The bounds of rounding are those of csrc/cpu/plane_tables.h, which do not depend on the order of sums: a sum of moments,
products and cells may err by 2048 eps, of which at most 6 levels of moments take 93, two translations 16, and two sums
over at most 31 cells 30.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerbits.kernels.grids.cells import CenterCells, key_of
from layerbits.kernels.grids.tables import EPS, SLACK, PlaneTables

_SUMMANDS = 4096  # kSummands of csrc/cpu/plane_tables.cpp
_CELLS = 2**13  # cells whose matrices are computed together: 16 MiB, and at most 13 times as much along x
_POINTS = 2**15  # points that are evaluated together: 64 MiB of coefficients


def plane_log_sums(offsets: Tensor, index: Tensor, cell: Tensor, cells: CenterCells, tables: PlaneTables) -> Tensor:
    """Return log-sums (m,), NaN where they are not certain; the arguments are those of `line_log_sums`, with d = 2."""
    parts = [_polynomials(block, cells, tables) for block in torch.split(index, _CELLS)]
    coefficients, slopes, thresholds = (torch.cat(part) for part in zip(*parts, strict=True))
    log_sums = []
    for x, point_cell in zip(torch.split(offsets, _POINTS), torch.split(cell, _POINTS), strict=True):
        along_x, along_y = tables.chebyshev(x).unbind(1)
        value = ((coefficients[point_cell] @ along_y[:, :, None])[..., 0] * along_x).sum(1)
        linear = slopes[point_cell] * (tables.width / tables.fraction)
        exponent = -((linear + x / (2 * tables.fraction**2)) * x).sum(1)
        log_sums.append(torch.where(value > thresholds[point_cell], value.log() + exponent, torch.nan))
    return torch.cat(log_sums)


def _polynomials(index: Tensor, cells: CenterCells, tables: PlaneTables) -> tuple[Tensor, Tensor, Tensor]:
    """Return coefficients (p, 16, 16), slopes (p, 2) and thresholds (p,), as PlaneTables::polynomial does."""
    shifts = torch.arange(2 * tables.reach + 1, device=index.device)
    values = _values_at_nodes(index, cells, tables, shifts)
    is_positive = values.flatten(1).amin(1) > 0
    values = torch.where(is_positive[:, None, None], values, 1.0)
    middle = tables.order // 2
    slopes = torch.stack(
        [
            tables.slopes(values[:, 0, middle], values[:, -1, middle]),
            tables.slopes(values[:, middle, 0], values[:, middle, -1]),
        ],
        1,
    )
    shifted_slopes = slopes.long() + tables.reach
    tilts = tables.tilts[shifted_slopes]
    values = values * tilts[:, 0, :, None] * tilts[:, 1, None, :]
    coefficients = tables.transform.T @ values @ tables.transform

    # The weights of the cells within the reach, [y][x] from the lowest index on.
    neighbors = index[:, None, None] + torch.stack(torch.meshgrid(shifts, shifts, indexing="xy"), -1) - tables.reach
    found, is_there = cells.find(key_of(neighbors[..., 0], neighbors[..., 1]))
    weights = torch.where(is_there, cells.weights[found], 0.0)
    errors = (tables.moment_errors, tables.nearest), (tables.rounding_errors, tables.row_sums)
    at_nodes, rounding = (_product_errors(weights, (e, e), (s, s)) for e, s in errors)
    terms = weights @ tables.row_sums @ tables.row_sums
    between, largest = (table[shifted_slopes] for table in (tables.between, tables.largest))
    between_nodes = _product_errors(weights, (between[:, 0], between[:, 1]), (largest[:, 0], largest[:, 1]))
    evaluation = (144.0 * tables.order**2 + 3) * values.flatten(1).amax(1)
    squares = torch.arange(1.0, tables.order + 1, dtype=torch.float64, device=index.device).square()
    evaluation += (coefficients.abs() * (squares[:, None] + squares + 32)).flatten(1).sum(1)
    tilt = (slopes.abs().sum(1) * (tables.width * tables.radius)).exp()
    lebesgue = tables.lebesgue**2
    cell_errors = math.exp(tables.radius**2) * (lebesgue * at_nodes + cells.weights.sum() * tables.beyond)
    cell_errors += lebesgue * (rounding + EPS * _SUMMANDS / 2 * terms)
    error = tilt * cell_errors + between_nodes + EPS * evaluation
    thresholds = (SLACK * error / tables.tolerance).clamp(min=1e-280)
    return coefficients, slopes, torch.where(is_positive, thresholds, torch.inf)


def _values_at_nodes(index: Tensor, cells: CenterCells, tables: PlaneTables, shifts: Tensor) -> Tensor:
    """Return the sums at the nodes of cells (p, 2), [x node][y node]: first translated along x, then along y."""
    rows = index[:, None, 1] - (shifts - tables.reach)
    keys, column = torch.unique(key_of(index[:, None, 0].expand_as(rows), rows), return_inverse=True)
    columns = torch.zeros(len(keys), tables.order, tables.order, dtype=torch.float64, device=index.device)
    for shift in range(len(shifts)):
        found, is_there = cells.find(keys - key_of(shifts[shift] - tables.reach, shifts.new_zeros(())))
        columns[is_there] += tables.translations[shift].T @ cells.moments[found[is_there]]
    values = torch.zeros(len(index), tables.order, tables.order, dtype=torch.float64, device=index.device)
    for shift in range(len(shifts)):
        values += columns[column[:, shift]] @ tables.translations[shift]
    return values


def _product_errors(weights: Tensor, errors: tuple[Tensor, Tensor], sizes: tuple[Tensor, Tensor]) -> Tensor:
    """Return the sums (p,) over cells, of weights (p, y, x), of the errors of products of a factor along x and along y.

    The errors and the sizes of the factors are (cells,), or (p, cells).
    """
    (error_x, error_y), (size_x, size_y) = errors, sizes
    row_errors, row_sizes = ((weights * factor.unsqueeze(-2)).sum(-1) for factor in (error_x, size_x))
    return (row_errors * (size_y + error_y) + row_sizes * error_y).sum(-1)
