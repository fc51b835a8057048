"""The number of queries of each input."""

from __future__ import annotations

import math

# Default numbers of queries: the smallest number of an input, and the total of all inputs.
_MIN_QUERIES, _TOTAL_QUERIES = 4, 2**14

# Largest number of queries of all inputs: 10 GB of points in ten dimensions.
_LARGEST_TOTAL = 2**28


def number_of_queries(n_inputs: int, draws: int | None, wanted: int | None) -> int:
    """Return the number of queries per input; `draws` limits the number behind noise and is None elsewhere.

    Raises
    ------
    ValueError
        `draws` is None, and the queries of all inputs together are more than 2^28.
    """
    queries = wanted or max(_MIN_QUERIES, math.ceil(_TOTAL_QUERIES / n_inputs))
    if draws is None:
        largest = _LARGEST_TOTAL // n_inputs
        if queries > largest:
            raise ValueError(f"queries: got {queries}, wanted at most {largest} for {n_inputs} inputs")
        return queries
    largest = draws // 2 if wanted else max(draws // 4, min(_MIN_QUERIES, draws // 2))
    return max(1, min(queries, largest))
