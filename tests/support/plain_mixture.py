"""The log-sum-exp, the log density and the pairwise bounds in plain torch, whose autograd is the oracle of derivatives.

The functions share no code with the library and sum over all pairs at once, in the dtype of the arguments.
"""

import math

import torch


def log_sum_exp(points, centers, sigma, weights=None):
    """Return log sum_j w_j exp(-|x_i - c_j|^2 / (2 sigma^2)), (m,)."""
    exponents = -(points[:, None] - centers).square().sum(2) / (2 * sigma**2)
    return (exponents if weights is None else exponents + weights.log()).logsumexp(1)


def log_density(points, centers, sigma, weights):
    """Return the log density (m,) of the mixture with normalised weights."""
    log_sums = log_sum_exp(points, centers, sigma, weights / weights.sum())
    return log_sums - points.shape[1] / 2 * (2 * math.pi * sigma**2).log()


def entropy_bounds(centers, sigma, weights):
    """Return the bounds of Kolchinsky and Tracey, as a tensor (2,)."""
    shares = weights / weights.sum()
    noise = centers.shape[1] / 2 * (2 * math.pi * math.e * sigma**2).log()
    log_sums = [log_sum_exp(centers, centers, factor * sigma, shares) for factor in (2, 1)]
    return torch.stack([noise - shares @ log_sum for log_sum in log_sums])


def second_derivative_error(points, centers, sigma, weights, upstream, direction):
    """Return a bound of the rounding error of any second derivative of sum_i u_i log_sum_i in float64, a float.

    A second derivative is a sum of terms u p (e' - mean e') de and u p de' (layerbits.kernels.second_derivatives).
    `size` is the sum of the absolute values of all terms by all arguments, with mean |e'| in place of mean e'. A term
    has p = exp(e - log_sum), where e and log_sum are wrong by (d + 4) eps |e| and (d + 4 + n) eps (1 + mean |e|), and
    at most 16 + d other operations; its sum adds m n d eps. The bound counts both sides of a comparison.
    """
    d_points, d_centers, d_sigma, d_weights = (change.abs() for change in direction)
    differences = (points[:, None] - centers).abs()
    squares = differences.square().sum(2)
    exponents = squares / (2 * sigma**2) + weights.log().abs()
    softmax = (weights.log() - squares / (2 * sigma**2)).softmax(1)
    moves = d_points[:, None] + d_centers
    rates = (differences * moves).sum(2) / sigma**2 + squares * d_sigma / sigma**3 + d_weights / weights
    spread = rates + (softmax * rates).sum(1, keepdim=True)
    slopes = differences.sum(2) / sigma**2 + squares / sigma**3 + 1 / weights
    second_slopes = (
        moves.sum(2) / sigma**2
        + 2 * (differences.sum(2) * d_sigma + (differences * moves).sum(2)) / sigma**3
        + 3 * squares * d_sigma / sigma**4
    )
    size = (upstream.abs()[:, None] * softmax * (spread * (slopes + 1 / weights) + second_slopes)).sum() + spread.sum()
    m, n, d = differences.shape
    operations = (2 * d + 8 + n) * (1 + exponents.max()) + 16 + d + m * n * d
    return float(2 * torch.finfo(torch.float64).eps * operations * size)
