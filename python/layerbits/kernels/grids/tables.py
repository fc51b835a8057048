"""The tables of translations and error bounds as tensors."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from layerbits.kernels.back_ends import cpu

EPS = 2.0**-52
SLACK = 1.01  # covers the rounding of the bounds themselves


@dataclasses.dataclass(frozen=True)
class Tables:
    """The values of GridTables in csrc/cpu/grid_tables.h; `tolerance` is the relative error tolerance of a sum."""

    fraction: float
    tolerance: float
    step: float
    half: float
    width: float
    radius: float
    lebesgue: float
    beyond: float
    column_sum: float
    reach: int
    nodes: Tensor
    transform: Tensor
    translations: Tensor
    tilts: Tensor
    moment_errors: Tensor
    rounding_errors: Tensor
    row_sums: Tensor
    decays: Tensor
    growths: Tensor

    @staticmethod
    def of(dim: int, fraction: float, tolerance: float, device: torch.device) -> Tables:
        """Return the tables for a sigma, scaled to [1/2, 1), and an error tolerance of a log-sum."""
        values = dict(cpu().grid_tables(dim, fraction, tolerance))
        numbers: dict[str, Any] = {name: numbers[0] for name, numbers in values.items() if len(numbers) == 1}
        numbers["reach"] = int(numbers["reach"])
        order, cells = len(values["nodes"]), 2 * numbers["reach"] + 1
        shapes = {
            "transform": (order, order),
            "translations": (cells, order, order),
            "tilts": (cells, order),
            "between": (cells, cells),
            "largest": (cells, cells),
        }
        tensors: dict[str, Any] = {
            name: torch.tensor(values[name], dtype=torch.float64, device=device).reshape(shapes.get(name, (-1,)))
            for name in values.keys() - numbers.keys()
        }
        kind = Tables if dim == 1 else PlaneTables
        return kind(fraction, tolerance / (1 + tolerance), **numbers, **tensors)

    @property
    def order(self) -> int:
        """Number of moments, and of nodes, along an axis."""
        return len(self.nodes)

    def cells_of(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices of the cells of scaled values, and the offsets of the values from their middles."""
        index = (values / self.step).round()
        return index.long(), values - index * self.step

    def chebyshev(self, offsets: Tensor) -> Tensor:
        """Return Chebyshev's polynomials T_k at offsets from the middles of cells, with k as the last axis."""
        t = offsets / self.half
        polynomials = [torch.ones_like(t), t]
        while len(polynomials) < self.order:
            polynomials.append(2 * t * polynomials[-1] - polynomials[-2])
        return torch.stack(polynomials, -1)

    def slopes(self, first: Tensor, last: Tensor) -> Tensor:
        """Return the slopes, in cells, that make sums nearly constant, from sums at the first and the last node."""
        distance = (self.nodes[0] - self.nodes[-1]) * self.radius * self.width
        return (-(first / last).log() / distance).round().clamp(-self.reach, self.reach)


@dataclasses.dataclass(frozen=True)
class PlaneTables(Tables):
    """The values of PlaneTables in csrc/cpu/plane_tables.h."""

    nearest: Tensor
    between: Tensor
    largest: Tensor
