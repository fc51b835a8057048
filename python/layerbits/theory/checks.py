"""Checks of the arguments that the bounds share."""

from __future__ import annotations

from layerbits._base import check_count, check_positive, shown

# With at most this dimension, powers in the formulas are floats, and log n is below 2^32, the end of the search in
# `samples_needed`.
_LARGEST_DIM = 10**7


def check_setting(dim: int, sigma: float) -> tuple[int, float]:
    """Return the dimension and sigma; raise TypeError or ValueError if one is out of range."""
    return check_dim(dim), check_scale("sigma", sigma)


def check_dim(dim: int) -> int:
    """Return a dimension from 1 to 10^7; otherwise raise an error."""
    return check_count("dim", dim, minimum=1, maximum=_LARGEST_DIM)


def check_size(name: str, value: int, *, minimum: int) -> int:
    """Return a number of samples, atoms or draws, of any size: the bounds take its logarithm."""
    return check_count(name, value, minimum=minimum, maximum=None)


def check_scale(name: str, value: float) -> float:
    """Return a number from 1e-30 to 1e30, so that its powers in the formulas are floats; otherwise raise an error."""
    number = check_positive(name, value)
    if not 1e-30 <= number <= 1e30:
        raise ValueError(f"{name}: got {shown(value)}, wanted a number from 1e-30 to 1e30")
    return number
