"""`python -m benchmarks.topics.distances [--quick]`: a histogram of pairwise distances beside scipy and NumPy.

The full size takes some minutes, nearly all of them in scipy's pdist, which stores 0.4 GB of distances.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist

from benchmarks.harness import Rounds, Target, measure, ratio
from layerbits._base import Doubles
from layerbits.geometry import pairwise_distance_histogram

BINS = 100
DIM = 1568  # dimension of the pooled maps of the MNIST network
FULL, QUICK = 10_000, 2000  # points
MAX_SECONDS, WANTED_RATIO = 2.0, 10.0  # at full size, on two cores with AVX-512


def scipy_histogram(points: npt.NDArray[np.float32]) -> Doubles:
    """Compute all distances, then their histogram; return the share of pairs up to each edge."""
    distances = pdist(points)
    return _cumulative_shares(np.histogram(distances, bins=BINS, range=(0, distances.max()))[0])


def layerbits_histogram(points: npt.NDArray[np.float32]) -> Doubles:
    """Compute the histogram by layerbits; return the share of pairs up to each edge."""
    return _cumulative_shares(pairwise_distance_histogram(points, bins=BINS).within)


def targets(n: int, rounds: Rounds) -> Iterator[Target]:
    """Check the shares of standard normal points, then yield the targets of time and ratio."""
    points = np.random.default_rng(0).standard_normal((n, DIM), dtype=np.float32)
    calls = {"layerbits": partial(layerbits_histogram, points), "scipy": partial(scipy_histogram, points)}
    seconds = measure(calls, _check, rounds)
    speedup = ratio(seconds["scipy"], seconds["layerbits"])
    name = f"{n} points, d = {DIM}, float32, {BINS} bins"
    yield Target(f"{name}, seconds", statistics.median(seconds["layerbits"]), MAX_SECONDS, at_most=True)
    yield Target(f"{name}, over scipy {speedup.minimum:.3g}..{speedup.maximum:.3g}", speedup.median, WANTED_RATIO)


def _cumulative_shares(counts: npt.NDArray[Any]) -> Doubles:
    shares: Doubles = counts.cumsum() / counts.sum()
    return shares


def _check(results: dict[str, Doubles]) -> None:
    # Distances have a mean of sqrt(2 d) = 56 and a standard deviation of 1. In float32 their error is 13 eps relative,
    # 9e-5 absolute. At a density of at most 0.4 this error moves 4e-5 of the pairs over an edge, and the rounding of
    # the edges moves as many.
    difference = np.abs(results["layerbits"] - results["scipy"]).max()
    if not difference < 1e-4:
        raise AssertionError(f"pairwise_distance_histogram: shares of pairs differ from scipy's by {difference:.2g}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.topics.distances", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} points: half a minute")
    quick = parser.parse_args(arguments).quick
    rounds = Rounds(3, min_seconds=0.1) if quick else Rounds(3, min_seconds=0, max_seconds=60)
    print(*targets(QUICK if quick else FULL, rounds), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
