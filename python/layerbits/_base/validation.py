"""Checks of counts, numbers, fractions and types, with errors that name the argument."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import cast

import numpy as np

from layerbits._base.types import Doubles

_LONGEST_TEXT = 80  # characters of a value in a message
_LONGEST_PATH = 1000
_LARGEST_COUNT = 2**128 - 1  # seeds may have 128 bits
_MOST_NAMES = 20  # names of layers in a message


def shown(value: object, *, longest: int = _LONGEST_TEXT) -> str:
    """Return a short text of a value for messages, without control characters."""
    try:
        text = str(value)
    except Exception:  # a value may have no text, such as an integer of more than 4300 digits
        return f"a value of type {type(value).__name__} without a text"
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= longest else f"{text[:longest]}..."


def shown_path(path: str | os.PathLike[str]) -> str:
    """Return a path as `shown` does, with up to `_LONGEST_PATH` characters."""
    return shown(os.fspath(path), longest=_LONGEST_PATH)


def shown_repr(value: object) -> str:
    """Return a short text of a value as in Python, with quotes around a text, for messages."""
    try:
        return shown(repr(value))
    except Exception:
        return shown(value)


def counted(count: int, noun: str) -> str:
    """Return a number with a noun, which has an s unless the number is 1."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Return the first 20 names as a text for messages, with the number of the others."""
    names = list(names)
    others = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {others} more" if others > 0 else "")


def shape_of(units: Iterable[int]) -> str:
    """Return the shape (n, *units) as a text for messages, in which n stands for any number of rows."""
    return f"({', '.join(map(str, ('n', *units)))})"


def check_type(name: str, value: object, kinds: type | tuple[type, ...] | UnionType, *, wanted: str) -> None:
    """Raise a TypeError unless `value` is an instance of `kinds`; True and False are no numbers."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds in (numbers.Real, numbers.Integral)):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted {wanted}")


def refuse_sparse(name: str, value: object) -> None:
    """Raise a TypeError for a sparse matrix or array, such as those of scipy."""
    if hasattr(type(value), "toarray") and hasattr(
        value, "nnz"
    ):  # a torch.fx.Proxy has all attributes; its type does not
        kind = type(value).__name__
        raise TypeError(f"{name}: got {kind}, a sparse matrix, wanted a dense array; convert it by .toarray()")


def check_count(name: str, value: object, *, minimum: int, maximum: int | None = _LARGEST_COUNT) -> int:
    """Return `value` as an int; raise TypeError or ValueError unless it is an integer in this range."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted an integer >= {minimum}")
    if int(value) < minimum:
        raise ValueError(f"{name}: got {shown(value)}, wanted an integer >= {minimum}")
    if maximum is not None and int(value) > maximum:
        raise ValueError(f"{name}: got {shown(value)}, wanted at most {maximum}")
    return int(value)


def check_real(name: str, value: object, wanted: str) -> float:
    """Return `value` as a float, which may be infinite or NaN; raise a TypeError unless it is a real number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted {wanted}")
    try:
        return float(value)
    except OverflowError:  # an integer too large for a float
        return math.copysign(math.inf, 1 if cast(int, value) > 0 else -1)


def check_number(name: str, value: object, *, wanted: str = "a finite number") -> float:
    """Return `value` as a float; raise TypeError or ValueError unless it is a finite number."""
    number = check_real(name, value, wanted)
    if not math.isfinite(number):
        raise ValueError(f"{name}: got {shown(value)}, wanted {wanted}")
    return number


def check_positive(name: str, value: object) -> float:
    """Return `value` as a float; raise TypeError or ValueError unless it is a positive, finite number."""
    number = check_real(name, value, "a positive number")
    if not 0 < number < math.inf:
        raise ValueError(f"{name}: got {shown(value)}, wanted a positive, finite number")
    return number


def check_fraction(name: str, value: object, *, example: str = "") -> float:
    """Return `value` as a float; raise TypeError or ValueError unless it lies strictly between 0 and 1."""
    wanted = f"a number between 0 and 1{example}"
    number = check_real(name, value, wanted)
    if not 0 < number < 1:
        raise ValueError(f"{name}: got {shown(value)}, wanted {wanted}")
    return number


def check_confidence(value: object) -> float:
    """Return `value` as a float; raise TypeError or ValueError unless it lies strictly between 0 and 1."""
    return check_fraction("confidence", value, example=", such as 0.95")


def check_vector(name: str, values: object) -> Doubles:
    """Return a sequence or an array of numbers as float64 (n,); raise an error unless n >= 1 and all are finite."""
    wanted = "a sequence or an array (n,) of finite numbers, n >= 1"
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str | bytes):
        raise TypeError(f"{name}: got {type(values).__name__}, wanted {wanted}")
    try:
        array = np.asarray(values)
    except Exception as error:  # items may raise any error; lists of different lengths are no array
        raise ValueError(f"{name}: got a {type(values).__name__} that is no array, wanted {wanted}") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: got dtype {array.dtype}, wanted {wanted}")
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{name}: got shape {array.shape} or NaN or infinity, wanted {wanted}")
    with np.errstate(over="ignore"):
        return array.astype(np.float64)


def check_path(name: str, value: object) -> None:
    """Raise a TypeError or ValueError unless `value` is a path that an operating system can have."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted a path")
    try:
        is_possible = "\0" not in os.fsdecode(os.fspath(value)) and bool(os.fsencode(value))
    except Exception:  # a character that no encoding of paths has; a path whose __fspath__ fails
        is_possible = False
    if not is_possible:
        raise ValueError(f"{name}: got {shown(value)!r}, wanted a path, without null bytes")
