"""Checks of counts, positive numbers and confidence levels, with errors that name the argument."""

from __future__ import annotations

import math
import numbers


def check_count(name: str, value: object, *, minimum: int) -> int:
    """Return `value` as an int; raise TypeError or ValueError unless it is an integer >= `minimum`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted an integer >= {minimum}")
    if int(value) < minimum:
        raise ValueError(f"{name}: got {value}, wanted an integer >= {minimum}")
    return int(value)


def check_positive(name: str, value: object) -> float:
    """Return `value` as a float; raise TypeError or ValueError unless it is a positive, finite number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted a positive number")
    try:
        number = float(value)
    except OverflowError:  # an integer too large for a float
        number = math.inf
    if not 0 < number < math.inf:
        raise ValueError(f"{name}: got {value}, wanted a positive, finite number")
    return number


def check_confidence(value: object) -> float:
    """Return `value` as a float; raise TypeError or ValueError unless it lies strictly between 0 and 1."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"confidence: got {type(value).__name__}, wanted a number between 0 and 1, such as 0.95")
    try:
        number = float(value)
    except OverflowError:  # an integer too large for a float
        number = math.inf
    if not 0 < number < 1:
        raise ValueError(f"confidence: got {value}, wanted a number between 0 and 1, such as 0.95")
    return number
