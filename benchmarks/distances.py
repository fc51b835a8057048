"""`python -m benchmarks.distances [--quick]`: a histogram of pairwise distances beside scipy's pdist and numpy.

The full size takes some minutes, nearly all of them pdist's, and 0.4 GB for its distances.
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

from benchmarks.rivals import Doubles
from benchmarks.targets import Target
from benchmarks.timing import Rounds, measure, ratio
from layerbits.geometry import pairwise_distance_histogram

BINS, DIM, FULL, QUICK = 100, 1568, 10_000, 2000  # of the pooled maps of the MNIST network
MOST_SECONDS, LEAST_RATIO = 2.0, 10.0  # of the full size, on two cores with AVX-512


def scipy_histogram(points: npt.NDArray[np.float32]) -> Doubles:
    """All distances, then their histogram; returns the share of pairs up to each edge."""
    distances = pdist(points)
    return _shares(np.histogram(distances, bins=BINS, range=(0, distances.max()))[0])


def our_histogram(points: npt.NDArray[np.float32]) -> Doubles:
    return _shares(pairwise_distance_histogram(points, bins=BINS).within)


def targets(n: int, rounds: Rounds) -> Iterator[Target]:
    """Compare shares, then times, on standard normal points."""
    points = np.random.default_rng(0).standard_normal((n, DIM), dtype=np.float32)
    calls = {"ours": partial(our_histogram, points), "scipy": partial(scipy_histogram, points)}
    seconds = measure(calls, _check, rounds)
    over = ratio(seconds["scipy"], seconds["ours"])
    what = f"{n} points, d = {DIM}, float32, {BINS} bins"
    yield Target(f"{what}, seconds", statistics.median(seconds["ours"]), MOST_SECONDS, at_most=True)
    yield Target(f"{what}, over scipy {over.lower:.3g}..{over.upper:.3g}", over.median, LEAST_RATIO)


def _shares(counts: npt.NDArray[Any]) -> Doubles:
    shares: Doubles = counts.cumsum() / counts.sum()
    return shares


def _check(results: dict[str, Doubles]) -> None:
    # Distances are about sqrt(2 d) = 56 with a standard deviation of 1; float32 errs by 13 eps, 9e-5 of it, which, at a
    # density of at most 0.4, moves 4e-5 of the pairs over an edge; so does the rounding of the edges.
    off = np.abs(results["ours"] - results["scipy"]).max()
    if not off < 1e-4:
        raise AssertionError(f"pairwise_distance_histogram: shares of pairs are off by {off:.2g} from scipy's")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distances", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} points: half a minute")
    quick = parser.parse_args(arguments).quick
    rounds = Rounds(3, least_seconds=0.1) if quick else Rounds(3, least_seconds=0, most_seconds=60)
    print(*targets(QUICK if quick else FULL, rounds), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
