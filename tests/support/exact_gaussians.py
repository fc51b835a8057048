"""Log-sums over components with full covariances, in np.longdouble, and the error bound of the kernels."""

import numpy as np

from tests.support.exact_mixture import eps
from tests.support.native_calls import log_sum_exp_full


def gaussian_problem(m, n, d, dtype=np.float64, *, scale=1.0, seed=0):
    """Return points, centers, factors and offsets; exponents are of order d scale^2.

    Entries of the factors above the diagonal, which kernels must not read, are 1e9.
    """
    generator = np.random.default_rng(seed)
    factors = generator.standard_normal((n, d, d)) / d**0.5 + np.eye(d)
    factors = scale * np.where(np.tri(d, dtype=bool), factors, 1e9)
    arrays = generator.standard_normal((m, d)), generator.standard_normal((n, d)), factors, generator.normal(size=n)
    return [array.astype(dtype) for array in arrays]


def exact_full_log_sums(points, centers, factors, offsets):
    """Return the log-sums (m,) and their error bounds (m,) in units of eps; see `operations.log_sum_exp_full`."""
    d = points.shape[1]
    points, centers, factors, offsets = (array.astype(np.longdouble) for array in (points, centers, factors, offsets))
    differences = points[:, None] - centers
    triangles = np.tril(factors)
    whitened = np.einsum("nij,mnj->mni", triangles, differences)
    sizes = np.einsum("nij,mnj->mni", np.abs(triangles), np.abs(differences))
    relative = offsets - offsets.max() - (whitened**2).sum(-1) / 2
    largest = relative.max(1, keepdims=True)
    softmax = np.exp(relative - largest)
    log_sum = offsets.max() + largest[:, 0] + np.log(softmax.sum(1))
    softmax /= softmax.sum(1, keepdims=True)
    cancellation = (softmax * (np.abs(whitened) * sizes).sum(-1)).sum(1)
    bound = (5 + d / 2) * (1 + (softmax * np.abs(relative)).sum(1)) + (1 + d / 2) * cancellation
    return log_sum, bound


def full_error_ratio(points, centers, factors, offsets, **options):
    """Return the largest error of the native log-sums relative to its bound; infinite for NaN."""
    exact, bound = exact_full_log_sums(points, centers, factors, offsets)
    log_sum = log_sum_exp_full(points, centers, factors, offsets, **options)
    error = np.abs(log_sum - exact) - 2.0**-53 * np.abs(exact)  # the result is rounded to float64
    ratio = error / (bound * eps(points.dtype))
    return float(np.where(np.isnan(ratio), np.inf, ratio).max())
