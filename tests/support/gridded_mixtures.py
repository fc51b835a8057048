"""Mixtures in one and two dimensions, with queries near the centers, between them and far from them."""

import numpy as np


def normal_centers(generator, n, dim):
    """Return centers with a standard deviation of 1."""
    return generator.standard_normal((n, dim))


def tight_clusters(generator, n, dim):
    """Return clusters of widths from 1e-7 to 1 around 8 positions up to 30 from 0."""
    positions, widths = generator.uniform(-30, 30, (8, dim)), 10.0 ** generator.uniform(-7, 0, (8, 1))
    cluster = generator.integers(8, size=n)
    return positions[cluster] + widths[cluster] * generator.standard_normal((n, dim))


def equal_centers(generator, n, dim):
    """Return centers whose coordinates take three values."""
    return generator.choice([-1.0, 0.3, 2.0], (n, dim))


def heavy_tails(generator, n, dim):
    """Return centers of Cauchy distributions: a cluster, and centers far from it and from each other."""
    return generator.standard_cauchy((n, dim))


LAYOUTS = [normal_centers, tight_clusters, equal_centers, heavy_tails]

# Multiples of sigma by which queries lie beyond all centers: above the largest, and below the smallest coordinates.
_BEYOND = {
    1: (np.array([[2.0], [5.0], [7.5], [11.0], [20.0], [1e3], [1e7]]), np.array([[3.0], [6.5], [40.0]])),
    2: (
        np.array([[2.0, 0], [5.0, 0], [0, 7.5], [11.0, -20.0], [1e3, 0], [0, -1e7]]),
        np.array([[2.0, 0], [5.0, 0], [0, 7.5], [11.0, -20.0]]),
    ),
}


def gridded_problem(layout, sigma, dtype, dim, *, n=3000, offset=0.0):
    """Return queries near centers, 60 of them drawn from the mixture, between and beyond centers; and n centers."""
    generator = np.random.default_rng(5)
    centers = offset + layout(generator, n, dim)
    above, below = _BEYOND[dim]
    queries = np.concatenate(
        [
            centers[generator.integers(n, size=60)] + sigma * generator.standard_normal((60, dim)),
            offset + generator.uniform(-6, 6, (30, dim)),
            centers.max(axis=0) + sigma * above,
            centers.min(axis=0) - sigma * below,
        ]
    )
    return queries.astype(dtype), centers.astype(dtype)
