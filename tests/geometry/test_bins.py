"""Bins are open below and closed above, and values are compared without rounding."""

import math
from fractions import Fraction

import numpy as np
import pytest

from layerbits.geometry.bins import edge_bins, even_bins


def with_neighbours(edges, dtype):
    """Return the edges in a dtype, and the values next to each."""
    rounded = edges.astype(dtype)
    return np.concatenate([rounded, np.nextafter(rounded, dtype(-9e9)), np.nextafter(rounded, dtype(9e9))])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.1, 0.07, 1 / 3, 1e-4, 0.5, 3.0])
def test_even_bins_are_open_below_and_closed_above(dtype, size):
    """The edges are k * size rounded to float64."""
    values = with_neighbours(np.arange(-300, 301) * size, dtype)

    numbers = even_bins(size, values).numbers(values)

    guesses = [math.ceil(Fraction(float(value)) / Fraction(size)) for value in values]
    for number, value, guess in zip(numbers, values, guesses, strict=True):
        exact = next(k for k in (guess - 1, guess, guess + 1) if (k - 1) * size < float(value) <= k * size)
        assert number == exact


@pytest.mark.parametrize("bins", [2, 30, 400])
def test_bins_with_edges_are_open_below_and_closed_above(bins):
    edges = np.linspace(-1, 1, bins + 1)[1:-1] + 1e-9  # not representable in float32
    values = with_neighbours(edges, np.float32)
    numbers = edge_bins(edges, values.dtype).numbers(values)
    assert numbers.tolist() == [int((edges < float(value)).sum()) for value in values]


def test_edges_beyond_float32_lie_above_or_below_all_values():
    values = np.array([-3e38, 0, 3e38], np.float32)
    assert edge_bins(np.array([-1e300, 1e300]), values.dtype).numbers(values).tolist() == [1, 1, 1]
