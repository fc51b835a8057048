"""References of the kernels, a density and two estimators in NumPy and SciPy: oracles of tests, rivals in benchmarks.

The module shares no code with the core: it sums directly in float64, without packing, scaling or polynomials.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from layerbits._base import Doubles, Integers

Floats = npt.NDArray[np.floating[Any]]
Words = npt.NDArray[np.uint32]


def log_sum_exp_isotropic(
    points: Floats,
    centers: Floats,
    sigma: float,
    *,
    weights: Floats | None = None,
    groups: tuple[Integers, Integers] | None = None,
) -> Doubles:
    """Return (m,): log sum_j w_j exp(-|points_i - centers_j|^2 / (2 sigma^2)) over centers j of the group of point i.

    `groups` are the offsets of the groups among the points and among the centers; None: all rows are in one group.
    """
    result = np.empty(len(points))
    point_offsets, center_offsets = ((0, len(points)), (0, len(centers))) if groups is None else groups
    for rows, columns in zip(_slices(point_offsets), _slices(center_offsets), strict=True):
        group_centers = np.asarray(centers[columns], dtype=np.float64)
        group_weights = None if weights is None else np.asarray(weights[columns], dtype=np.float64)
        for i in range(rows.start, rows.stop):
            squares = ((np.asarray(points[i], dtype=np.float64) - group_centers) ** 2).sum(axis=1)
            with np.errstate(divide="ignore"):  # log of a zero sum
                result[i] = logsumexp(-squares / (2 * sigma**2), b=group_weights) if len(group_centers) else -np.inf
    return result


def log_sum_exp_isotropic_gradient(
    points: Floats, centers: Floats, sigma: float, upstream: Floats, *, weights: Floats | None = None
) -> tuple[Doubles, Doubles, Doubles, float]:
    """Return the gradients of sum_i upstream_i log_sum_exp_i: of points (m, d), centers (n, d), weights (n,), sigma.

    All points are in one group.
    """
    d_points, d_centers = np.zeros(points.shape), np.zeros(centers.shape)
    d_weights, d_sigma = np.zeros(len(centers)), 0.0
    centers_float64 = np.asarray(centers, dtype=np.float64)
    all_weights = np.ones(len(centers)) if weights is None else np.asarray(weights, np.float64)
    for i in range(len(points)):
        difference = np.asarray(points[i], dtype=np.float64) - centers_float64
        squares = (difference**2).sum(axis=1)
        exponents = -squares / (2 * sigma**2)
        weight_terms = upstream[i] * np.exp(exponents - logsumexp(exponents, b=all_weights))
        terms = all_weights * weight_terms
        d_points[i] = -(terms @ difference) / sigma**2
        d_centers += terms[:, None] * difference / sigma**2
        d_weights += weight_terms
        d_sigma += float(terms @ squares) / sigma**3
    return d_points, d_centers, d_weights, d_sigma


def log_sum_exp_full(points: Floats, centers: Floats, factors: Floats, offsets: Floats) -> Doubles:
    """Return log sum_j exp(offsets_j - |factors_j (points_i - centers_j)|^2 / 2) with lower triangular factors."""
    triangles, result = np.tril(np.asarray(factors, dtype=np.float64)), np.empty(len(points))
    for i in range(len(points)):
        difference = np.asarray(points[i], dtype=np.float64) - np.asarray(centers, dtype=np.float64)
        whitened = (triangles @ difference[:, :, None])[:, :, 0]
        exponents = np.asarray(offsets, dtype=np.float64) - (whitened**2).sum(axis=1) / 2
        result[i] = logsumexp(exponents) if len(exponents) else -np.inf
    return result


def log_sum_exp_diagonal(points: Floats, centers: Floats, factors: Floats, offsets: Floats) -> Doubles:
    """Return log sum_j exp(offsets_j - sum_k (factors_jk (points_ik - centers_jk))^2 / 2)."""
    result = np.empty(len(points))
    for i in range(len(points)):
        difference = np.asarray(points[i], dtype=np.float64) - np.asarray(centers, dtype=np.float64)
        scaled = np.asarray(factors, dtype=np.float64) * difference
        exponents = np.asarray(offsets, dtype=np.float64) - (scaled**2).sum(axis=1) / 2
        result[i] = logsumexp(exponents) if len(exponents) else -np.inf
    return result


def distance_histogram(
    points: Floats, edges: Doubles, *, labels: Integers | None = None, metric: str = "euclidean"
) -> Integers:
    """Return the counts (bins + 2, 2) of pairs below, in and above the bins; columns: different and equal labels."""
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
    """Map counters (n, 4) to random words (n, 4) by Philox4x32-10.

    Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    a, b, c, d = counters.T.astype(np.uint64)
    shift, mask = np.uint64(32), np.uint64(2**32 - 1)
    for round_ in range(10):
        product_a, product_c = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        low_key, high_key = (
            np.uint64((word + round_ * step) % 2**32) for word, step in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True)
        )
        a, b = (product_c >> shift) ^ b ^ low_key, product_c & mask
        c, d = (product_a >> shift) ^ d ^ high_key, product_a & mask
    return np.stack([a, b, c, d], axis=1).astype(np.uint32)


def standard_normal(count: int, dtype: npt.DTypeLike, key: int, first: int) -> Doubles:
    """Return `count` values of the stream of a 64-bit key, from position `first`: Box and Muller's transform of Philox.

    The words of a counter give two values in float64 and four in float32. The uniform numbers are rounded to the dtype;
    later steps are in float64.
    """
    per_counter = 16 // np.dtype(dtype).itemsize
    start = first // per_counter
    stop = (first + count - 1) // per_counter + 1 if count else start
    numbers = np.arange(start, stop, dtype=np.uint64)
    counters = np.zeros((len(numbers), 4), np.uint32)
    counters[:, :2] = numbers[:, None].view(np.uint32)
    words = philox((key % 2**32, key >> 32), counters).view(f"u{np.dtype(dtype).itemsize}")
    radius_words, angle_words = words.reshape(-1, 2).T.astype(dtype)
    bits = 8 * np.dtype(dtype).itemsize
    radius = np.sqrt(-2 * np.log(np.float64((radius_words + 1) * radius_words.dtype.type(2.0**-bits))))
    half_turns = np.float64(angle_words) * 2.0 ** (1 - bits)
    quarter = np.rint(2 * half_turns)
    reduced_angle = np.pi * (half_turns - quarter / 2)
    quadrant = quarter.astype(np.int64) % 4
    cosine = np.choose(
        quadrant, [np.cos(reduced_angle), -np.sin(reduced_angle), -np.cos(reduced_angle), np.sin(reduced_angle)]
    )
    sine = np.choose(
        quadrant, [np.sin(reduced_angle), np.cos(reduced_angle), -np.sin(reduced_angle), -np.cos(reduced_angle)]
    )
    values = np.stack([radius * cosine, radius * sine], axis=1).ravel()
    return values[first % per_counter :][:count]


def mixture_log_density(points: Floats, centers: Floats, sigma: float, *, chunk: int = 512) -> Doubles:
    """Return the log density, shape (m,), of the mixture with equal weights, by SciPy in chunks of points."""
    n, d = centers.shape
    log_sums = [
        logsumexp(-cdist(points[i : i + chunk], centers, "sqeuclidean") / (2 * sigma**2), axis=1)
        for i in range(0, len(points), chunk)
    ]
    log_density: Doubles = np.concatenate(log_sums) - np.log(n) - d / 2 * np.log(2 * np.pi * sigma**2)
    return log_density


def mixture_entropy(centers: Floats, sigma: float, *, queries: int, seed: int = 0) -> tuple[float, float]:
    """Return an estimate of h(S + Z) and its standard error, in nats, by Monte Carlo without variance reduction.

    Source: the sample-propagation estimator of Goldfeld, Greenewald and Polyanskiy, arXiv 1810.11589.
    """
    generator = np.random.default_rng(seed)
    signals = centers[generator.integers(len(centers), size=queries)]
    terms = -mixture_log_density(signals + sigma * generator.standard_normal(signals.shape), centers, sigma)
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(queries))


def plug_in_information(signals: Floats, sigma: float, *, queries: int = 1, seed: int = 0) -> float:
    """Return the plug-in estimate of I(X;T) in nats from signals (n_inputs, draws, d), by a loop over inputs.

    Source: Goldfeld et al., ICML 2019: h of the pooled mixture minus the mean h of the mixture of each input.
    """
    n_inputs, draws, d = signals.shape
    generator = np.random.default_rng(seed)
    pooled_signals, total = signals.reshape(-1, d), 0.0
    for input_signals in signals:
        points = input_signals[np.arange(queries) % draws] + sigma * generator.standard_normal((queries, d))
        conditional = mixture_log_density(points, input_signals, sigma)
        total += float((conditional - mixture_log_density(points, pooled_signals, sigma)).mean())
    return float(total / n_inputs)


def _slices(offsets: Iterable[int]) -> Iterator[slice]:
    return (slice(start, stop) for start, stop in pairwise(offsets))
