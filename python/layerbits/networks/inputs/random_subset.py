"""`RandomSubset`: a random subset of rows whose number is not known before all batches are read."""

from __future__ import annotations

import numpy as np

from layerbits._base import Integers, check_count
from layerbits.kernels import RandomStream, stream


class RandomSubset:
    """A random subset of rows that are read batch by batch: the rows with the smallest of independent random numbers.

    Attributes
    ----------
    limit : int or None
        Largest number of rows to keep; None keeps all.
    n_read : int
        Number of rows read so far.
    rows : integer array
        Positions of the kept rows among the rows read; empty without a limit.
    """

    def __init__(self, limit: int | None, seed: int) -> None:
        self.limit = None if limit is None else check_count("limit", limit, minimum=1)
        self.n_read = 0
        self.rows = np.empty(0, np.int64)
        self._generator = stream(seed, RandomStream.INPUT_SUBSET)
        self._numbers = np.empty(0)

    def add(self, n_rows: int) -> Integers | None:
        """Return which of the kept rows, followed by `n_rows` new rows, to keep; None without a limit."""
        new_rows = np.arange(self.n_read, self.n_read + n_rows)
        self.n_read += n_rows
        if self.limit is None:
            return None
        rows = np.concatenate([self.rows, new_rows])
        numbers = np.concatenate([self._numbers, self._generator.random(n_rows)])
        positions = np.sort(np.argsort(numbers)[: self.limit])
        self.rows, self._numbers = rows[positions], numbers[positions]
        return positions
