"""Random split of a data set into the rows that a network is trained on and those that it is tested on."""

from __future__ import annotations

import numpy as np
import torch

from layerbits._base import check_count


def split(n: int, *, test_fraction: float = 0.2, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Split the row numbers 0..n-1 at random.

    Parameters
    ----------
    n : int
        Number of rows, at least 2.
    test_fraction : float
        Share of the rows that are for testing, in (0, 1); rounded so that each side has at least one row.
    seed : int
        Seed of the split, at least 0.

    Returns
    -------
    train_rows, test_rows : torch.Tensor
        Shapes (n - k,) and (k,), int64, disjoint, together all rows.

    Raises
    ------
    TypeError, ValueError
        If `n`, `test_fraction` or `seed` is out of range, or `seed` no integer.
    """
    if n < 2:
        raise ValueError(f"n: got {n}, wanted at least 2, a row for each side")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction: got {test_fraction}, wanted a number between 0 and 1")
    n_test = min(max(round(n * test_fraction), 1), n - 1)
    order = torch.from_numpy(np.random.default_rng(check_count("seed", seed, minimum=0)).permutation(n))
    return order[n_test:], order[:n_test]
