"""Points whose squared distance from a center is summed with roundings of one sign."""

import numpy as np

CHOICES = 400  # random values among which each coordinate is chosen


def one_sided_roundings(d, panel, sign, *, has_factors):
    """Return a point, a center and factors, (1, d) float32, whose distance has roundings of one sign.

    The sums are those of the kernels: fused multiply-adds in partial sums of `panel` dimensions. Each coordinate has
    the largest error of this sign among random choices.
    """
    generator = np.random.default_rng(0)
    point, center, factor = np.zeros((3, 1, d), np.float32)
    partial = np.float32(0)
    for k in range(d):
        if k % panel == 0:
            partial = np.float32(0)
        points, factors = (1 + 0.02 * generator.random((2, CHOICES))).astype(np.float32)
        points, centers = 8 * points, (-0.02 * generator.random(CHOICES)).astype(np.float32)
        if not has_factors:
            factors = np.ones(CHOICES, np.float32)
        scaled = (points - centers) * factors
        sums = (scaled.astype(np.float64) ** 2 + partial).astype(np.float32)
        exact = (factors.astype(np.float64) * (points.astype(np.float64) - centers)) ** 2
        chosen = (sign * (sums - np.float64(partial) - exact) / exact).argmax()
        point[0, k], center[0, k], factor[0, k] = points[chosen], centers[chosen], factors[chosen]
        partial = sums[chosen]
    return point, center, factor
