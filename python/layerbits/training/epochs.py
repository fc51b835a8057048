"""Choice and check of the epochs at which a network is measured."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from layerbits._base import check_count

_MOST_EPOCHS = 2**20


def log_spaced(first: int, last: int, count: int) -> tuple[int, ...]:
    """Return whole numbers from `first` to `last`, evenly spaced on a logarithmic axis.

    Parameters
    ----------
    first, last : int
        The ends, both included; 1 <= first <= last < 2^53.
    count : int
        Largest number of values, from 2 to 2^20. Neighbours that round to the same number are returned once.

    Returns
    -------
    tuple of int
        Ascending, without repeats.

    Raises
    ------
    TypeError, ValueError
        An argument is not a whole number, or is out of range.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.log_spaced(1, 100, 5)
    (1, 3, 10, 32, 100)
    """
    check_count("first", first, minimum=1, maximum=2**53 - 1)
    check_count("last", last, minimum=first, maximum=2**53 - 1)
    check_count("count", count, minimum=2, maximum=_MOST_EPOCHS)
    return tuple(np.unique(np.rint(np.geomspace(first, last, count)).astype(int)).tolist())


def nearest_epochs(epochs: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """Return, for each wanted epoch, the nearest of `epochs` on a logarithmic axis; ascending, without repeats."""
    distance = np.abs(np.log(np.divide.outer(epochs, wanted)))
    return tuple(np.unique(np.take(epochs, distance.argmin(axis=0))).tolist())


def checked_epochs(at: object) -> tuple[int, ...]:
    """Return the argument `at` as ascending epochs without repeats.

    Raises
    ------
    TypeError, ValueError
        `at` is not an iterable of whole numbers of at least 0, or is empty.
    """
    if isinstance(at, str) or not isinstance(at, Iterable) or getattr(at, "ndim", 1) == 0:
        raise TypeError(f"at: got {type(at).__name__}, wanted epochs, for instance log_spaced(1, 1000, 20)")
    if isinstance(at, Tensor):
        raise TypeError("at: got Tensor, wanted whole numbers; pass at.tolist()")
    given = list(itertools.islice(at, _MOST_EPOCHS + 1))
    if len(given) > _MOST_EPOCHS:
        raise ValueError(f"at: got more than {_MOST_EPOCHS} epochs, wanted fewer, such as those of log_spaced")
    epochs = tuple(sorted({checked_epoch("at", epoch) for epoch in given}))
    if not epochs:
        raise ValueError("at: got no epoch, wanted at least one")
    return epochs


def checked_epoch(name: str, epoch: object) -> int:
    """Return an epoch as an int; some training loops count in floats.

    Raises
    ------
    TypeError, ValueError
        The epoch is not a whole number of at least 0; `name` is its name in the error.
    """
    if isinstance(epoch, numbers.Real) and not isinstance(epoch, numbers.Integral):
        if not float(epoch).is_integer():
            raise ValueError(f"{name}: got {epoch}, wanted a whole number of epochs")
        epoch = int(float(epoch))
    if isinstance(epoch, Tensor | np.ndarray):
        raise TypeError(f"{name}: got {type(epoch).__name__}, wanted a whole number; pass .item() of each epoch")
    return check_count(name, epoch, minimum=0)
