"""Sums in cells of points on the line.

The bounds of rounding exceed those of csrc/cpu/grid_tables.h, in units of eps, by that of sums of moments; by 8 for a
translation, which sums 16 products in any order; and by 8 for the sum over fewer than 16 cells of centers. A
coefficient has 9 in place of 2, and Clenshaw's recurrence, without fused multiply-adds here, has twice the bound.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerbits.kernels.grids.cells import CenterCells
from layerbits.kernels.grids.tables import EPS, SLACK, Tables


def line_log_sums(offsets: Tensor, index: Tensor, cell: Tensor, cells: CenterCells, tables: Tables) -> Tensor:
    """Return log-sums (m,), NaN where they are not certain.

    Parameters
    ----------
    offsets : Tensor of shape (m, 1)
        Offsets of points from the middles of their cells.
    index : int64 Tensor of shape (p, 1)
        Indices of the cells of points.
    cell : int64 Tensor of shape (m,)
        The cell of each point among the p cells.
    """
    coefficients, slopes, thresholds = _polynomials(index[:, 0], cells, tables)
    x = offsets[:, 0]
    t = x / tables.half
    first, *others = coefficients.unbind(1)
    value = after = torch.zeros_like(x)
    for coefficient in reversed(others):  # Clenshaw's recurrence
        value, after = 2 * t * value + (coefficient[cell] - after), value
    value = t * value + (first[cell] - after)
    exponent = -(slopes[cell] * (tables.width / tables.fraction) + x / (2 * tables.fraction**2)) * x
    return torch.where(value > thresholds[cell], value.log() + exponent, torch.nan)


def _polynomials(index: Tensor, cells: CenterCells, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:
    """Return coefficients (p, 16), slopes in cells (p,) and thresholds (p,), as GridTables::polynomial does."""
    shifts = torch.arange(2 * tables.reach + 1, device=index.device)
    found, is_there = cells.find(index[:, None] - (shifts - tables.reach))
    values = index.new_zeros(len(index), tables.order, dtype=torch.float64)
    for shift in range(len(shifts)):
        moments = torch.where(is_there[:, shift, None], cells.moments[found[:, shift]], 0.0)
        values += moments @ tables.translations[shift]
    is_positive = values.amin(1) > 0
    values = torch.where(is_positive[:, None], values, 1.0)
    slopes = tables.slopes(values[:, 0], values[:, -1])
    shifted_slopes = slopes.long() + tables.reach
    values = values * tables.tilts[shifted_slopes]
    differences = values - values[:, :1]
    coefficients = differences @ tables.transform
    coefficients[:, 0] += values[:, 0]

    weights = torch.where(is_there, cells.weights[found], 0.0)
    tilt = (slopes.abs() * (tables.width * tables.radius)).exp()
    growths = tables.growths[shifts - shifted_slopes[:, None] + 2 * tables.reach]
    between_nodes = (weights * tables.decays * growths).sum(1)
    truncation = between_nodes + tilt * math.exp(tables.radius**2 / 2) * (
        tables.lebesgue * (weights @ tables.moment_errors) + cells.weights.sum() * tables.beyond
    )
    summation_error = EPS * (CenterCells.ROUNDING * cells.levels + 16)
    rounding = tilt * tables.lebesgue * (weights @ (tables.rounding_errors + summation_error * tables.row_sums))
    recurrence = torch.arange(1.0, tables.order + 1, dtype=torch.float64, device=index.device).square()
    recurrence[0] = 1.5
    evaluation = (
        1.5 * tables.lebesgue * values.amax(1)
        + 9 * tables.column_sum * differences.abs().sum(1)
        + 2 * (coefficients.abs() @ recurrence)
    )
    errors = 2 * SLACK * torch.maximum(truncation, rounding + EPS * evaluation)
    thresholds = (errors / tables.tolerance).clamp(min=1e-280)
    return coefficients, slopes, torch.where(is_positive, thresholds, torch.inf)
