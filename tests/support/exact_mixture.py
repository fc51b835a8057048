"""The verbs of the core again in more digits than the kernels have, and the error that the contract allows.

Shares nothing with the core and nothing with reference.py: plain sums of np.longdouble, all pairs at once.
"""

import numpy as np

from layerbits.kernels import _cpu

# Rounding of the truth must not count: 11 bits beyond float64 are a thousandth of what the contract allows.
assert np.finfo(np.longdouble).nmant >= 63

LEVELS = _cpu.levels()
DTYPES = [np.float32, np.float64]


def native(points, centers, sigma, **options):
    """What the core says, (m,) float64."""
    log_sum = np.full(len(points), 7.0)
    _cpu.log_sum_exp_isotropic(points, centers, sigma, log_sum, **options)
    return log_sum


def native_gradient(points, centers, sigma, upstream, *, log_sum=None, weights=None, **options):
    """All gradients that the core computes: d_points, d_centers, d_weights, d_sigma (one value a row)."""
    if log_sum is None:
        offsets = {key: value for key, value in options.items() if key.endswith("offsets")}
        log_sum = native(points, centers, sigma, weights=weights, **offsets, level=options.get("level", ""))
    d_points, d_centers = np.full_like(points, 7), np.full_like(centers, 7)
    d_weights, d_sigma = np.full(len(centers), 7, points.dtype), np.full(len(points), 7.0)
    outputs = {"d_points": d_points, "d_centers": d_centers, "d_weights": d_weights, "d_sigma": d_sigma}
    _cpu.log_sum_exp_isotropic_gradient(
        points, centers, sigma, log_sum, np.asarray(upstream, float), weights=weights, **outputs, **options
    )
    return d_points, d_centers, d_weights, d_sigma


def _terms(points, centers, sigma, weights):
    difference = points.astype(np.longdouble)[:, None, :] - centers.astype(np.longdouble)[None, :, :]
    squares = (difference**2).sum(axis=2)
    mass = np.ones(len(centers), np.longdouble) if weights is None else weights.astype(np.longdouble)
    with np.errstate(divide="ignore"):
        log_mass = np.log(mass)
    exponents = -squares / (2 * np.longdouble(sigma) ** 2) + log_mass
    largest = exponents.max(axis=1)
    relative = np.exp(exponents - largest[:, None])
    log_sum = largest + np.log(relative.sum(axis=1))
    softmax = relative / relative.sum(axis=1, keepdims=True)  # adds up to 1 even where log_sum has few digits
    # Sizes are those of exponents beside the largest weight: large weights must not seem to cancel large distances.
    shift = log_mass.max()
    sizes = np.where(softmax > 0, np.abs(exponents - shift) + np.abs(shift), 0)
    return difference, squares, log_sum, softmax, sizes


def truth(points, centers, sigma, *, weights=None):
    """The log-sum-exp (m,), and sum_k p_k |e_k| (m,), of which the contract speaks."""
    _, _, log_sum, softmax, sizes = _terms(points, centers, sigma, weights)
    return log_sum, (softmax * sizes).sum(axis=1)


def eps(dtype):
    """2^-23 for float32, 2^-52 for float64."""
    return float(np.finfo(dtype).eps)


def allowed(size, d, dtype):
    """The contract: |error| <= (4 + d/64) eps (1 + sum_k p_k |e_k|)."""
    return (4 + d / 64) * eps(dtype) * (1 + size)


def excess(points, centers, sigma, *, weights=None, **options):
    """Largest error of the core in units of what the contract allows; infinite for NaN."""
    got = native(points, centers, sigma, weights=weights, **options)
    want, size = truth(points, centers, sigma, weights=weights)
    ratio = np.abs(got - want) / allowed(size, points.shape[1], points.dtype)
    return float(np.where(np.isnan(ratio), np.inf, ratio).max())


def true_gradient(points, centers, sigma, upstream, *, weights=None):
    """The four gradients, and for each a bound of what rounding may add, in the order of `native_gradient`.

    A term u p_ij v is as wrong as its p_ij, and rounding the sum adds eps times the number of terms and a few
    operations. p_ij = exp(e_ij - log_sum), where either part is off by the contract, so
    |error of a term| <= eps ((4 + d/64)(2 + |e_ij| + sum_k p_k |e_k|) + terms + 8) |term|, and eps/2 |result| to store.
    """
    difference, squares, log_sum, softmax, sizes = _terms(points, centers, sigma, weights)
    m, n, d = difference.shape
    unit = eps(points.dtype)
    sigma = np.longdouble(sigma)
    spread = (softmax * sizes).sum(axis=1)
    slack = unit * ((4 + d / 64) * (2 + sizes + spread[:, None]) + max(m, n) + 8)
    p = np.asarray(upstream, np.longdouble)[:, None] * softmax
    pull = p[:, :, None] * difference / sigma**2
    # As w_j -> 0, p_ij / w_j tends to exp(-|x_i - c_j|^2 / 2 sigma^2 - log_sum_i).
    per_weight = np.asarray(upstream, np.longdouble)[:, None] * np.exp(-squares / (2 * sigma**2) - log_sum[:, None])
    results = -pull.sum(axis=1), pull.sum(axis=0), per_weight.sum(axis=0), (p * squares).sum(axis=1) / sigma**3
    bounds = (
        (slack[:, :, None] * np.abs(pull)).sum(axis=1),
        (slack[:, :, None] * np.abs(pull)).sum(axis=0),
        (slack * np.abs(per_weight)).sum(axis=0),
        (slack * np.abs(p) * squares).sum(axis=1) / sigma**3,
    )
    return results, tuple(bound + unit * np.abs(result) for bound, result in zip(bounds, results, strict=True))
