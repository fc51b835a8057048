"""Arguments of bounds: ends and middles of the ranges that they are tested on, in every combination."""

import itertools

COUNTS = (1, 2, 3, 50, 4096, 10**9, 10**30)
DIMS = (1, 2, 12, 1000)
SIGMAS = (1e-3, 0.07, 0.5, 1.0, 2.9, 1e3)


def combinations(*others):
    """Return all combinations of a count, a dimension, a sigma and a value of each further sequence."""
    return itertools.product(COUNTS, DIMS, SIGMAS, *others)
