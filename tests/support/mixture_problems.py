"""Random mixtures with upstream gradients, for tests of the kernels."""

import numpy as np


def gradient_problem(m, n, d, dtype, *, scale=1.0, seed=2):
    """Return points, centers and weights of the dtype, and float64 upstream gradients."""
    generator = np.random.default_rng(seed)
    points, centers = (scale * generator.standard_normal((rows, d)) for rows in (m, n))
    return points.astype(dtype), centers.astype(dtype), generator.random(n).astype(dtype), generator.standard_normal(m)
