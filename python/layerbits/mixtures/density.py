"""The log density of a Gaussian mixture sum_k w_k N(c_k, sigma^2 I), and the entropy of its noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerbits._base import Array
from layerbits.kernels import as_floats, as_sigma, log_sum_exp_isotropic
from layerbits.mixtures.arguments import Points, as_centers, as_type_of, as_weights


def mixture_log_density(
    points: Points,
    centers: Array,
    sigma: float | Tensor,
    *,
    weights: Array | None = None,
    method: str = "auto",
    tolerance: float | None = None,
) -> Points:
    """Compute the log density of a Gaussian mixture, in nats; differentiable in the first four arguments.

    Parameters
    ----------
    points : tensor or array of shape (m, d)
        float32 or float64. Tensors are on one device, the CPU or a CUDA device.
    centers : tensor or array of shape (n, d)
        Means of the components, n >= 1, of the dtype of `points`.
    sigma : float or tensor of one element
        Standard deviation of every component.
    weights : tensor or array of shape (n,), optional
        Nonnegative, of any positive total; equal by default.
    method : {"auto", "dense", "pruned", "gridded"}
        "dense" sums over every pair of a point and a center. "pruned" skips or merges centers if this changes the
        result by at most `tolerance`. "gridded" takes time O(n + m) for points within about 6 sigma of a center, with
        errors of at most `tolerance`, in one dimension, and in two, or on a CUDA device, for tolerances of at least
        1e-8. "auto" estimates which method is faster. On the CPU, every method but "auto" gives a point the same bits
        in every batch; "auto" may choose another method for another batch. On a CUDA device a repeated call gives the
        same bits.
    tolerance : float, optional
        Largest change of a log density by "pruned" and "gridded", in nats; by default half an eps of the dtype.
        Gradients always sum over every pair.

    Returns
    -------
    tensor or array of shape (m,)
        In nats, with the type and dtype of `points`. With e_k the exponents (they include the weights relative to the
        largest weight), p_k their softmax and eps of the dtype, |error| <= (4 + d/64) eps (1 + sum_k p_k |e_k|), plus
        the error tolerance, and the rounding of the result and of the logarithms in it. If nearly all roundings of a
        squared distance have one sign, as they may for points that are chosen for it, 4 becomes at most 20.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names the argument.
    TypeError
        Two derivatives are in forward mode, or forward mode differentiates a second derivative: use reverse mode. Or
        torch.autograd maps over upstream gradients (``is_grads_batched``, ``vectorize``): use torch.func.

    Notes
    -----
    Derivatives of every order are those of the exact sum over every pair. In first derivatives each p_k has a relative
    error of at most (4 + d/64) eps (2 + |e_k| + sum_j p_j |e_j|), with 4 as above, plus the error tolerance; the sums
    add at most (m + n + 8) eps. So far from every center the relative error of a gradient is about |log density| eps:
    3e-5 in float64 at 1e6 sigma. Second derivatives are computed in float64, in memory O((m + n) d); third derivatives
    take memory O(m n d). `torch.func` (vmap over points or centers, grad, jvp, hessian, ...) and
    forward-mode differentiation work.

    Examples
    --------
    >>> import numpy as np, layerbits
    >>> layerbits.mixture_log_density(np.zeros((1, 1)), np.array([[-1.0], [1.0]]), 0.5).round(4)
    array([-2.2258])

    The Hessian of log N(0, sigma^2) at two points is -1 / sigma^2:

    >>> import torch
    >>> centers = torch.zeros(1, 1)
    >>> log_density = lambda point: layerbits.mixture_log_density(point[None], centers, 0.5)[0]
    >>> torch.func.vmap(torch.func.hessian(log_density))(torch.ones(2, 1)).flatten()
    tensor([-4., -4.])
    """
    centers, sigma, weights = as_centers(centers), as_sigma(sigma), as_weights(weights)
    log_sum = log_sum_exp_isotropic(
        as_floats("points", points), centers, sigma, weights=weights, method=method, tolerance=tolerance
    )
    log_volume = centers.shape[1] * (math.log(2 * math.pi) / 2 + sigma.log())
    return as_type_of(points, (log_sum - log_total(centers, weights) - log_volume).to(centers.dtype))


def noise_entropy(dim: int, sigma: float) -> float:
    """Return h(Z) = d/2 log(2 pi e sigma^2) of Z ~ N(0, sigma^2 I) in d dimensions, in nats."""
    return dim * (math.log(2 * math.pi * math.e) / 2 + math.log(sigma))


def log_total(centers: Tensor, weights: Tensor | None) -> Tensor:
    """Return the logarithm of the total weight (None: of the number of centers), a float64 tensor of shape ()."""
    if weights is None:
        return torch.tensor(math.log(len(centers)), dtype=torch.float64, device="cpu")
    return weights.double().sum().log()
