"""Random split of the rows of a data set into training rows and test rows."""

from __future__ import annotations

import numpy as np
import torch

from layerbits._base import check_count, check_fraction

_LARGEST_N = 2**30  # 8 GiB of row numbers


def split(n: int, *, test_fraction: float = 0.2, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Split the row numbers 0, ..., n - 1 at random.

    Parameters
    ----------
    n : int
        Number of rows, at least 2.
    test_fraction : float
        Fraction of test rows, in (0, 1); rounded so that each part has at least one row.
    seed : int
        Seed of the split, at least 0.

    Returns
    -------
    train_rows, test_rows : torch.Tensor
        Shapes (n - k,) and (k,), int64; every row is in exactly one of them.

    Raises
    ------
    TypeError, ValueError
        `n` or `seed` is not an integer, or an argument is out of range.

    Examples
    --------
    >>> import layerbits as lb
    >>> train_rows, test_rows = lb.data.split(10, seed=0)
    >>> len(train_rows), len(test_rows)
    (8, 2)
    """
    n, seed = check_count("n", n, minimum=2, maximum=_LARGEST_N), check_count("seed", seed, minimum=0)
    test_fraction = check_fraction("test_fraction", test_fraction)
    n_test = min(max(round(n * test_fraction), 1), n - 1)
    permutation = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    return permutation[n_test:], permutation[:n_test]
