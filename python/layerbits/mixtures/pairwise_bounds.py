"""Bounds of entropy and information of a Gaussian mixture from the distances of all pairs of centers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerbits._base import Array
from layerbits.kernels import NO_WORKERS, Workers, as_sigma, isotropic_log_sums, log_sum_exp_isotropic
from layerbits.mixtures.arguments import Points, as_centers, as_type_of, as_weights
from layerbits.mixtures.density import log_total


def mixture_entropy_bounds(
    centers: Points, sigma: float | Tensor, *, weights: Array | None = None
) -> tuple[Points, Points]:
    """Compute a lower and an upper bound of the differential entropy of a Gaussian mixture, in nats; differentiable.

    Parameters
    ----------
    centers : tensor or array of shape (n, d)
        Means of the components, n >= 1; float32 or float64.
    sigma : float or tensor of one element
        Standard deviation of every component.
    weights : tensor or array of shape (n,), optional
        Nonnegative, of any positive total; equal by default.

    Returns
    -------
    (lower, upper)
        In nats: tensors of shape () for a tensor `centers`, NumPy scalars for an array; of the dtype of `centers`.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names the argument.
    TypeError
        As for `mixture_log_density`.

    Notes
    -----
    Derivatives of every order exist, as for `mixture_log_density`.

    Source: Kolchinsky and Tracey, Estimating Mixture Entropy with Pairwise Distances (2017). The lower bound uses the
    Bhattacharyya distance (the Chernoff divergence with alpha = 1/2), the upper bound the Kullback-Leibler divergence.

    Examples
    --------
    >>> import numpy as np, layerbits
    >>> lower, upper = layerbits.mixture_entropy_bounds(np.array([[-1.0], [1.0]]), 0.5)
    >>> print(f"{lower:.4f} {upper:.4f}")
    1.2920 1.4186
    """
    tensor, sigma, weights = as_centers(centers), as_sigma(sigma), as_weights(weights)
    noise = tensor.shape[1] * (math.log(2 * math.pi * math.e) / 2 + sigma.log())
    lower = noise + pairwise_lower_bound(tensor, sigma, weights)
    upper = noise + pairwise_upper_bound(tensor, sigma, weights)
    return as_type_of(centers, lower.to(tensor.dtype)), as_type_of(centers, upper.to(tensor.dtype))


def pairwise_lower_bound(
    centers: Tensor, sigma: Tensor, weights: Tensor | None = None, workers: Workers = NO_WORKERS
) -> Tensor:
    """Compute the lower bound of `mixture_entropy_bounds` less h(Z): a lower bound of I(S; S + Z) in nats, float64."""
    return _pairwise_information(centers, 2 * sigma, weights, workers)


def pairwise_upper_bound(
    centers: Tensor, sigma: Tensor, weights: Tensor | None = None, workers: Workers = NO_WORKERS
) -> Tensor:
    """Compute the upper bound of `mixture_entropy_bounds` less h(Z): an upper bound of I(S; S + Z) in nats, float64."""
    return _pairwise_information(centers, sigma, weights, workers)


def _pairwise_information(centers: Tensor, sigma: Tensor, weights: Tensor | None, workers: Workers) -> Tensor:
    """Compute -sum_i w_i log sum_j w_j exp(-|c_i - c_j|^2 / (2 sigma^2)) with weights that sum to one."""
    if workers.processes.size > 1:
        log_sums = torch.from_numpy(isotropic_log_sums(centers, centers, sigma, weights, workers)).to(centers.device)
    else:  # differentiable
        log_sums = log_sum_exp_isotropic(centers, centers, sigma, weights=weights)
    log_sums = log_sums - log_total(centers, weights)
    return -(log_sums.mean() if weights is None else (weights.double() @ log_sums) / weights.double().sum())
