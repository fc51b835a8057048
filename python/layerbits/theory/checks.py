"""Checks of the arguments that the bounds share."""

from __future__ import annotations

from layerbits._base import check_count, check_positive


def check_setting(dim: int, sigma: float) -> tuple[int, float]:
    """Return the dimension and sigma; raise TypeError or ValueError if one is out of range."""
    return check_count("dim", dim, minimum=1), check_scale("sigma", sigma)


def check_scale(name: str, value: float) -> float:
    """Return a number from 1e-30 to 1e30, so that its powers in the formulas are floats; otherwise raise an error."""
    number = check_positive(name, value)
    if not 1e-30 <= number <= 1e30:
        raise ValueError(f"{name}: got {value}, wanted a number from 1e-30 to 1e30")
    return number


def check_fraction(name: str, value: float) -> float:
    """Return a number between 0 and 1; otherwise raise an error."""
    number = check_positive(name, value)
    if number >= 1:
        raise ValueError(f"{name}: got {value}, wanted a number between 0 and 1")
    return number
