"""Bins, and the number of the bin of each activation.

Every bin is (lower, upper], open below and closed above. A zero therefore lies in the bin that ends at 0, as the two
bins (-inf, 0] and (0, inf) require; `np.floor` and `np.digitize` would put it into the bin that begins at 0. Values are
compared without rounding: float32(0.1) exceeds 0.1 and lies above an edge at 0.1.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from layerbits._base import Array
from layerbits.kernels import as_floats

Floats = npt.NDArray[Any]  # float32 or float64
BinNumbers = npt.NDArray[Any]  # integers of the smallest sufficient dtype


class Bins(Protocol):
    """A division of the real line into bins."""

    def numbers(self, values: Floats) -> BinNumbers:
        """Return the number of the bin of each value, in the shape of `values`."""


@dataclasses.dataclass(frozen=True)
class EvenBins:
    """The bins (k size, (k + 1) size] for all integers k, numbered by k + 1; made by `even_bins`."""

    size: float
    dtype: np.dtype[Any]

    def numbers(self, values: Floats) -> BinNumbers:
        """Return k + 1 for each value."""
        exact = values.astype(np.float64)
        number = np.ceil(exact / self.size)
        # The quotient may have been rounded across an edge; the edges are the rounded products.
        number += exact > number * self.size
        number -= exact <= (number - 1) * self.size
        return number.astype(self.dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class EdgeBins:
    """The bins between explicit edges, numbered by the number of edges below them; made by `edge_bins`."""

    edges: Floats

    def numbers(self, values: Floats) -> BinNumbers:
        """Return the number of edges below each value."""
        if len(self.edges) > 255:
            return np.searchsorted(self.edges, values, side="left")
        # For 29 edges and 2^16 values, a binary search takes 4 (float64) to 7 (float32) times as long.
        number = np.zeros(values.shape, np.uint8)
        for edge in self.edges:
            number += values > edge
        return number


def even_bins(size: float, values: Floats) -> EvenBins:
    """Return bins of one size with exact numbers for these values; raise a ValueError if the size is too small."""
    largest_quotient = max(abs(float(values.min())), abs(float(values.max()))) / size
    if not largest_quotient < 2**52:
        raise ValueError(f"bin_size: got {size}, wanted more than 2^-52 times the largest activation")
    dtypes = (np.int8, np.int16, np.int32, np.int64)
    return EvenBins(size, np.dtype(next(dtype for dtype in dtypes if largest_quotient + 2 < np.iinfo(dtype).max)))


def edge_bins(edges: Array, dtype: np.dtype[Any]) -> EdgeBins:
    """Return bins with these inner edges, for values of a dtype."""
    exact = as_floats("edges", edges).detach().double().numpy(force=True)
    if exact.ndim != 1 or not np.isfinite(exact).all() or (np.diff(exact) < 0).any():
        raise ValueError(
            f"edges: got shape {exact.shape}, wanted shape (bins - 1,) with finite numbers in ascending order"
        )
    # A value exceeds an edge if and only if it exceeds the largest number of its dtype that does not exceed the edge.
    with np.errstate(over="ignore"):
        rounded_edges = exact.astype(dtype)
    return EdgeBins(np.where(rounded_edges > exact, np.nextafter(rounded_edges, dtype.type(-np.inf)), rounded_edges))
