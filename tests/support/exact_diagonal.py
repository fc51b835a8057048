"""Log-sums over components with diagonal covariances, in np.longdouble, and the error bound of the kernels."""

import numpy as np

from tests.support.exact_mixture import error_bound
from tests.support.native_calls import log_sum_exp_diagonal


def diagonal_problem(m, n, d, dtype=np.float64, *, scale=1.0, seed=0):
    """Return points, centers, factors and offsets; exponents are of order d scale^2."""
    generator = np.random.default_rng(seed)
    factors = scale * np.exp(generator.standard_normal((n, d)) / 2)
    arrays = generator.standard_normal((m, d)), generator.standard_normal((n, d)), factors, generator.normal(size=n)
    return [array.astype(dtype) for array in arrays]


def exact_diagonal_log_sums(points, centers, factors, offsets):
    """Return the log-sums (m,) and sum_k p_k |e_k| (m,), with exponents e_k relative to the largest offset."""
    points, centers, factors, offsets = (array.astype(np.longdouble) for array in (points, centers, factors, offsets))
    relative = offsets - offsets.max() - ((factors * (points[:, None] - centers)) ** 2).sum(-1) / 2
    largest = relative.max(1, keepdims=True)
    softmax = np.exp(relative - largest)
    log_sum = offsets.max() + largest[:, 0] + np.log(softmax.sum(1))
    return log_sum, (softmax * np.abs(relative)).sum(1) / softmax.sum(1)


def diagonal_error_ratio(points, centers, factors, offsets, **options):
    """Return the largest error of the native log-sums relative to its bound; infinite for NaN."""
    exact, mean_exponent = exact_diagonal_log_sums(points, centers, factors, offsets)
    log_sum = log_sum_exp_diagonal(points, centers, factors, offsets, **options)
    error = np.abs(log_sum - exact) - 2.0**-53 * np.abs(exact)  # the result is rounded to float64
    ratio = error / error_bound(mean_exponent, points.shape[1], points.dtype)
    return float(np.where(np.isnan(ratio), np.inf, ratio).max())
