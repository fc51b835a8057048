"""Cells with centers and the moments of their centers, in one and two dimensions."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from layerbits.kernels.grids.tables import Tables

MAX_CELLS = 2.0**30  # bounds the index along an axis, so that the indices of two axes fit in an integer

_TERMS = 32  # terms of a partial sum


@dataclasses.dataclass(frozen=True)
class CenterCells:
    """Cells with centers.

    Attributes
    ----------
    keys : int64 Tensor of shape (c,)
        The cells in order, as numbers from `keys_of`.
    moments : Tensor of shape (c, 16) or (c, 16, 16)
        Sums of w T_k(u / h), or w T_k(u / h) T_l(v / h). The first moment is the weight.
    levels : int
        Number of levels of partial sums: each adds at most `ROUNDING` eps of the sum of absolute values.
    """

    keys: Tensor
    moments: Tensor
    levels: int

    ROUNDING = (_TERMS - 1) / 2

    @classmethod
    def of(cls, centers: Tensor, weights: Tensor, tables: Tables) -> CenterCells:
        """Sort scaled centers (n, d) by cells, and sum the moments of each cell."""
        index, offsets = tables.cells_of(centers)
        cell_of_center = keys_of(index)
        order = cell_of_center.argsort(stable=True)
        keys, counts = torch.unique_consecutive(cell_of_center[order], return_counts=True)
        pieces = _pieces(counts)
        along_x, *along_y = tables.chebyshev(offsets[order]).unbind(1)
        along_x = along_x * weights[order, None]
        if not along_y:
            return cls(keys, _sums(along_x, pieces), len(pieces))
        moments = [_sums(along_x[:, k, None] * along_y[0], pieces) for k in range(tables.order)]
        return cls(keys, torch.stack(moments, 1), len(pieces))

    @property
    def weights(self) -> Tensor:
        """Weights of the cells, (c,)."""
        return self.moments.flatten(1)[:, 0]

    def find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions of cells with these keys, and whether they have centers."""
        positions = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        return positions, self.keys[positions] == keys


def keys_of(index: Tensor) -> Tensor:
    """Return the numbers of cells with indices (..., d); in the plane, cells of a column have successive numbers."""
    return index[..., 0] if index.shape[-1] == 1 else key_of(index[..., 0], index[..., 1])


def key_of(x: Tensor, y: Tensor) -> Tensor:
    """Return the numbers of the cells of the plane with these indices, at most `MAX_CELLS` plus the reach from 0."""
    return x * 2**32 + y


def _pieces(counts: Tensor) -> list[Tensor]:
    """Return the lengths of the pieces of each level of sums over cells with these numbers of centers."""
    levels = []
    while int(counts.max()) > 1:
        numbers = (counts + _TERMS - 1) // _TERMS
        lengths = torch.full((int(numbers.sum()),), _TERMS, device=counts.device)
        lengths[numbers.cumsum(0) - 1] = counts - _TERMS * (numbers - 1)
        levels.append(lengths)
        counts = numbers
    return levels


def _sums(values: Tensor, pieces: list[Tensor]) -> Tensor:
    for lengths in pieces:
        values = torch.segment_reduce(values, "sum", lengths=lengths, axis=0)
    return values
