"""The rows of a tensor that come batch by batch: all of them, in memory or a temporary file, or a random subset.

Passes read the rows of a file slice by slice, so a data set may be larger than the memory. A loader is not read again:
its second reading may give other rows, by shuffling or augmentation, and every noisy pass would decode all rows anew.
"""

from __future__ import annotations

import tempfile
import weakref
from typing import IO

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Integers, check_count
from layerbits.kernels import RandomStream, stream

# Number of rows to read from an iterable that may not end, for each row of the subset.
_ROWS_READ = 100


class KeptRows:
    """The rows of one argument from all batches, which have one dtype and one shape of a row."""

    def __init__(self) -> None:
        self._batches: list[Tensor] = []  # in memory
        self._file: IO[bytes] | None = None
        self._n_rows = 0
        self._row = torch.empty(0)  # the first row, for the dtype and the shape of all rows in the file

    @property
    def nbytes(self) -> int:
        """Number of bytes in memory."""
        return sum(batch.nbytes for batch in self._batches)

    def add(self, batch: Tensor) -> None:
        """Add the rows of a batch, (m, ...)."""
        self._batches.append(batch)
        self._n_rows += len(batch)

    def replace(self, batch: Tensor, positions: Integers) -> None:
        """Keep only the rows at these positions among the rows in memory, followed by the rows of a batch."""
        rows = torch.cat([*self._batches, batch])
        self._batches = [rows[torch.from_numpy(positions).to(rows.device)]]

    def move_to_file(self) -> None:
        """Move the rows in memory to the file.

        Raises
        ------
        OSError
            The file cannot be written, for instance because its disk is full.
        """
        if self._file is None:
            # The file has no name, so the system deletes it even if the process is killed.
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object; the mapping stays
            weakref.finalize(self, self._file.close)
            self._row = self._batches[0][:1].cpu()
        for batch in self._batches:
            self._file.write(batch.reshape(-1).view(torch.uint8).numpy(force=True).data)
        self._batches.clear()

    def tensor(self) -> Tensor:
        """Return all rows, (n, ...); if rows are in the file, all are moved to it, and the tensor is a view of it.

        Raises
        ------
        OSError
            As `move_to_file`.
        """
        if self._file is None:
            return self._batches[0] if len(self._batches) == 1 else torch.cat(self._batches)
        self.move_to_file()
        self._file.flush()
        values = torch.from_numpy(np.memmap(self._file, np.uint8, "r+", shape=(self._n_rows * self._row.nbytes,)))
        return values.view(self._row.dtype).view(self._n_rows, *self._row.shape[1:])


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

    Raises
    ------
    TypeError, ValueError
        `limit` is not a positive integer.
    """

    def __init__(self, limit: int | None, seed: int) -> None:
        self.limit = None if limit is None else check_count("limit", limit, minimum=1)
        self.n_read = 0
        self.rows = np.empty(0, np.int64)
        self._generator = stream(seed, RandomStream.INPUT_SUBSET)
        self._numbers = np.empty(0)

    @property
    def is_sampled(self) -> bool:
        """Whether enough rows were read from an iterable that may not end."""
        return self.limit is not None and self.n_read >= _ROWS_READ * self.limit

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
