"""Log-sums of isotropic Gaussians and their gradients in np.longdouble, and the error bounds of the kernels.

The exact values are plain sums over all pairs, which share no code with the core or with kernels/reference.py.
"""

import numpy as np

from tests.support.native_calls import Gradients, log_sum_exp

# np.longdouble has 11 bits more than float64: its rounding errors are below a thousandth of the error bound.
assert np.finfo(np.longdouble).nmant >= 63


def eps(dtype):
    """Return 2^-23 for float32, 2^-52 for float64."""
    return float(np.finfo(dtype).eps)


def exact_log_sums(points, centers, sigma, *, weights=None):
    """Return the log-sums (m,) and the mean exponents sum_k p_k |e_k| (m,) of their error bound.

    e_k are the exponents with the weights relative to the largest weight.
    """
    relative_weights = None if weights is None else weights.astype(np.longdouble) / weights.max()
    _, _, log_sum, softmax, exponents = _terms(points, centers, sigma, relative_weights)
    shift = 0 if weights is None else np.log(np.longdouble(weights.max()))
    return log_sum + shift, (softmax * exponents).sum(axis=1)


def error_bound(mean_exponent, d, dtype):
    """Return the error bound of `operations.log_sum_exp_isotropic`: (4 + d/64) eps (1 + sum_k p_k |e_k|)."""
    return (4 + d / 64) * eps(dtype) * (1 + mean_exponent)


def float64_rounding(log_sum, weights):
    """Return the rounding errors (m,) of log(largest weight), at most an ulp, and of its sum with another log-sum."""
    shift = 0.0 if weights is None else abs(np.log(float(weights.max())))
    return 2.0**-52 * shift + 2.0**-53 * np.abs(log_sum)


def error_ratio(points, centers, sigma, *, weights=None, **options):
    """Return the largest error of the native log-sums relative to its bound; infinite for NaN."""
    log_sum = log_sum_exp(points, centers, sigma, weights=weights, **options)
    exact, mean_exponent = exact_log_sums(points, centers, sigma, weights=weights)
    error = np.abs(log_sum - exact) - float64_rounding(exact, weights)
    ratio = error / error_bound(mean_exponent, points.shape[1], points.dtype)
    return float(np.where(np.isnan(ratio), np.inf, ratio).max())


def exact_gradients(points, centers, sigma, upstream, *, weights=None):
    """Return the gradients, and bounds of their rounding errors.

    A term u p_ij v has the relative error of p_ij = exp(e_ij - log_sum), whose exponent has the errors of e_ij and of
    log_sum; the other factors and the summation add at most (terms + 8) eps. So |error of a term| <=
    eps ((4 + d/64)(2 + |e_ij| + sum_k p_k |e_k|) + terms + 8) |term|. Storing the result adds eps |result|.
    """
    difference, squares, log_sum, softmax, exponents = _terms(points, centers, sigma, weights)
    m, n, d = difference.shape
    unit = eps(points.dtype)
    sigma = np.longdouble(sigma)
    mean_exponent = (softmax * exponents).sum(axis=1)
    relative_error = unit * ((4 + d / 64) * (2 + exponents + mean_exponent[:, None]) + max(m, n) + 8)
    weighted = np.asarray(upstream, np.longdouble)[:, None] * softmax
    pull = weighted[:, :, None] * difference / sigma**2
    # As w_j -> 0, p_ij / w_j tends to exp(-|x_i - c_j|^2 / 2 sigma^2 - log_sum_i).
    per_weight = np.asarray(upstream, np.longdouble)[:, None] * np.exp(-squares / (2 * sigma**2) - log_sum[:, None])
    exact = Gradients(
        points=-pull.sum(axis=1),
        centers=pull.sum(axis=0),
        weights=per_weight.sum(axis=0),
        sigma=(weighted * squares).sum(axis=1) / sigma**3,
    )
    errors = Gradients(
        points=(relative_error[:, :, None] * np.abs(pull)).sum(axis=1),
        centers=(relative_error[:, :, None] * np.abs(pull)).sum(axis=0),
        weights=(relative_error * np.abs(per_weight)).sum(axis=0),
        sigma=(relative_error * np.abs(weighted) * squares).sum(axis=1) / sigma**3,
    )
    return exact, Gradients(*(error + unit * np.abs(value) for error, value in zip(errors, exact, strict=True)))


def assert_gradients_within_bound(result, points, centers, sigma, upstream, *, weights=None):
    """Assert that all four gradients are within their bounds."""
    exact, bounds = exact_gradients(points, centers, sigma, upstream, weights=weights)
    for name in Gradients._fields:
        error = np.abs(getattr(result, name) - getattr(exact, name))
        assert (error <= getattr(bounds, name)).all(), name


def _terms(points, centers, sigma, weights):
    difference = points.astype(np.longdouble)[:, None, :] - centers.astype(np.longdouble)[None, :, :]
    squares = (difference**2).sum(axis=2)
    weights = np.ones(len(centers), np.longdouble) if weights is None else weights.astype(np.longdouble)
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    exponents = -squares / (2 * np.longdouble(sigma) ** 2) + log_weights
    largest = exponents.max(axis=1)
    relative = np.exp(exponents - largest[:, None])
    log_sum = largest + np.log(relative.sum(axis=1))
    softmax = relative / relative.sum(axis=1, keepdims=True)  # sums to 1 even where log_sum has few digits
    # Sizes are relative to the largest weight: a large weight must not seem to cancel a large distance.
    shift = log_weights.max()
    sizes = np.where(softmax > 0, np.abs(exponents - shift) + np.abs(shift), 0)
    return difference, squares, log_sum, softmax, sizes
