"""Every kernel again in plain NumPy and SciPy: slow, readable, float64. Oracle of the tests, rival in benchmarks.

It shares nothing with the core: direct sums here, blocks, references and polynomials there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

Array = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]


def log_sum_exp_isotropic(
    points: Array,
    centers: Array,
    sigma: float,
    *,
    weights: Array | None = None,
    point_offsets: Offsets | None = None,
    center_offsets: Offsets | None = None,
) -> Doubles:
    """Return log sum_j w_j exp(-|points_i - centers_j|^2 / (2 sigma^2)), shape (m,), over the centers of i's group."""
    result = np.empty(len(points))
    for mine, theirs in _groups(points, centers, point_offsets, center_offsets):
        group = np.asarray(centers[theirs], dtype=np.float64)
        mass = None if weights is None else np.asarray(weights[theirs], dtype=np.float64)
        for i in range(mine.start, mine.stop):
            squares = ((np.asarray(points[i], dtype=np.float64) - group) ** 2).sum(axis=1)
            with np.errstate(divide="ignore"):  # log of an empty sum
                result[i] = logsumexp(-squares / (2 * sigma**2), b=mass) if len(group) else -np.inf
    return result


def log_sum_exp_isotropic_gradient(
    points: Array,
    centers: Array,
    sigma: float,
    upstream: Array,
    *,
    weights: Array | None = None,
    point_offsets: Offsets | None = None,
    center_offsets: Offsets | None = None,
) -> tuple[Doubles, Doubles, Doubles, float]:
    """Return the gradients of sum_i upstream_i log_sum_exp_i: of points (m, d), centers (n, d), weights (n,), sigma."""
    d_points, d_centers = np.zeros(points.shape), np.zeros(centers.shape)
    d_weights, d_sigma = np.zeros(len(centers)), 0.0
    for mine, theirs in _groups(points, centers, point_offsets, center_offsets):
        mass = np.ones(theirs.stop - theirs.start) if weights is None else np.asarray(weights[theirs], np.float64)
        for i in range(mine.start, mine.stop):
            difference = np.asarray(points[i], dtype=np.float64) - np.asarray(centers[theirs], dtype=np.float64)
            squares = (difference**2).sum(axis=1)
            exponents = -squares / (2 * sigma**2)
            per_weight = upstream[i] * np.exp(exponents - logsumexp(exponents, b=mass))
            terms = mass * per_weight
            d_points[i] = -(terms @ difference) / sigma**2
            d_centers[theirs] += terms[:, None] * difference / sigma**2
            d_weights[theirs] += per_weight
            d_sigma += float(terms @ squares) / sigma**3
    return d_points, d_centers, d_weights, d_sigma


def log_sum_exp_full(points: Array, means: Array, factors: Array, offsets: Array) -> Doubles:
    """Return log sum_j exp(offsets_j - |factors_j (points_i - means_j)|^2 / 2), (m,), of lower triangular factors."""
    triangles, result = np.tril(np.asarray(factors, dtype=np.float64)), np.empty(len(points))
    for i in range(len(points)):
        difference = np.asarray(points[i], dtype=np.float64) - np.asarray(means, dtype=np.float64)
        whitened = (triangles @ difference[:, :, None])[:, :, 0]
        exponents = np.asarray(offsets, dtype=np.float64) - (whitened**2).sum(axis=1) / 2
        result[i] = logsumexp(exponents) if len(exponents) else -np.inf
    return result


def distance_histogram(
    points: Array, edges: Doubles, *, labels: Offsets | None = None, metric: str = "euclidean"
) -> Offsets:
    """Return how many pairs of rows are below, in each bin, and above: (bins + 2, 2), of unequal and equal labels."""
    rows = np.asarray(points, dtype=np.float64)
    classes = np.zeros(len(rows), np.int64) if labels is None else labels
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    counts = np.zeros((len(edges) + 1, 2), np.int64)
    for i in range(1, len(rows)):
        distances = np.sqrt(((rows[i] - rows[:i]) ** 2).sum(axis=1))
        if metric == "cosine":
            distances = distances**2 / 2
        bins = np.searchsorted(edges, distances, side="right")
        bins[distances == edges[-1]] = len(edges) - 1
        np.add.at(counts, (bins, (classes[i] == classes[:i]).astype(np.int64)), 1)
    return counts


def philox(key: tuple[int, int], counters: Words) -> Words:
    """Return Philox4x32-10 of counters (n, 4), words (n, 4).

    Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    a, b, c, d = counters.T.astype(np.uint64)
    low, mask = np.uint64(32), np.uint64(2**32 - 1)
    for turn in range(10):
        first, second = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        low_key, high_key = (
            np.uint64((word + turn * step) % 2**32) for word, step in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True)
        )
        a, b, c, d = (second >> low) ^ b ^ low_key, second & mask, (first >> low) ^ d ^ high_key, first & mask
    return np.stack([a, b, c, d], axis=1).astype(np.uint32)


def standard_normal(count: int, dtype: npt.DTypeLike, key: int, first: int) -> Doubles:
    """Return the values first, first + 1, ... of the stream of a 64-bit key: Box and Muller's, of Philox's words.

    A counter makes two values of its halves in float64, and four of its quarters in float32. The uniform numbers are
    rounded to the dtype, all else is float64.
    """
    each = 16 // np.dtype(dtype).itemsize
    numbers = np.arange(first // each, (first + count - 1) // each + 1 if count else first // each, dtype=np.uint64)
    counters = np.zeros((len(numbers), 4), np.uint32)
    counters[:, :2] = numbers[:, None].view(np.uint32)
    words = philox((key % 2**32, key >> 32), counters).view(f"u{np.dtype(dtype).itemsize}")
    radius, angle = words.reshape(-1, 2).T.astype(dtype)
    bits = 8 * np.dtype(dtype).itemsize
    length = np.sqrt(-2 * np.log(np.float64((radius + 1) * angle.dtype.type(2.0**-bits))))
    turns = np.float64(angle) * 2.0 ** (1 - bits)  # half ones
    quarter = np.rint(2 * turns)
    rest = np.pi * (turns - quarter / 2)
    place = quarter.astype(np.int64) % 4
    cosine = np.choose(place, [np.cos(rest), -np.sin(rest), -np.cos(rest), np.sin(rest)])
    sine = np.choose(place, [np.sin(rest), np.cos(rest), -np.sin(rest), -np.cos(rest)])
    values = np.stack([length * cosine, length * sine], axis=1).ravel()
    return values[first % each :][:count]


def mixture_log_density(points: Array, centers: Array, sigma: float, *, chunk: int = 512) -> Doubles:
    """Return the log density, shape (m,), of the equal-weight mixture: the pure-Python estimator's way, in chunks."""
    n, d = centers.shape
    log_sums = [
        logsumexp(-cdist(points[i : i + chunk], centers, "sqeuclidean") / (2 * sigma**2), axis=1)
        for i in range(0, len(points), chunk)
    ]
    log_density: Doubles = np.concatenate(log_sums) - np.log(n) - d / 2 * np.log(2 * np.pi * sigma**2)
    return log_density


def mixture_entropy(centers: Array, sigma: float, *, draws: int, seed: int = 0) -> tuple[float, float]:
    """Return (value, standard error) in nats of h(S + Z) by plain Monte Carlo, without any variance reduction.

    Source: the sample-propagation estimator of Goldfeld, Greenewald and Polyanskiy, arXiv 1810.11589.
    """
    generator = np.random.default_rng(seed)
    chosen = centers[generator.integers(len(centers), size=draws)]
    terms = -mixture_log_density(chosen + sigma * generator.standard_normal(chosen.shape), centers, sigma)
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(draws))


def layer_information(signals: Array, sigma: float, *, queries: int = 1, seed: int = 0) -> float:
    """Return the plug-in I(X;T) in nats from signals (n_inputs, draws, d): one loop over inputs, nothing shared.

    Source: Goldfeld et al., ICML 2019: h of the pooled mixture minus the mean h of the mixture of each input.
    """
    n_inputs, draws, d = signals.shape
    generator = np.random.default_rng(seed)
    pooled, total = signals.reshape(-1, d), 0.0
    for own in signals:
        points = own[np.arange(queries) % draws] + sigma * generator.standard_normal((queries, d))
        conditional = mixture_log_density(points, own, sigma)
        total += float((conditional - mixture_log_density(points, pooled, sigma)).mean())
    return float(total / n_inputs)


def _groups(
    points: Array, centers: Array, point_offsets: Offsets | None, center_offsets: Offsets | None
) -> Iterator[tuple[slice, slice]]:
    if point_offsets is None or center_offsets is None:
        yield slice(0, len(points)), slice(0, len(centers))
        return
    for g in range(len(point_offsets) - 1):
        yield slice(point_offsets[g], point_offsets[g + 1]), slice(center_offsets[g], center_offsets[g + 1])
