"""Gaussian mixtures sum_k w_k N(c_k, sigma^2 I): density, entropy, information, bounds. Pure functions.

With S the random center and Z the noise, h(S + Z) = I(S; S + Z) + h(Z) with h(Z) known. So both are estimated as
I = E[log N(T; S, sigma^2 I) - log g(T)], in which the squared length of the noise cancels (the control variate):
separated centers give log n without any variance.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TypeVar

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from layerbits.checks import check_confidence, check_count, check_positive
from layerbits.kernels import Array, as_floats, as_sigma, log_sum_exp
from layerbits.randomness import standard_normal, stream
from layerbits.results import Estimate
from layerbits.subspace import affine_coordinates

_Points = TypeVar("_Points", bound=Array)

_FIRST_STRATA = 4096
_GROWTH = 4  # a batch is at most so many times all that was drawn before: the spread seen so far may mislead
_MARGIN = 1.2  # drawn beyond the forecast, so that the tolerance is met at once as a rule


def mixture_log_density(
    points: _Points,
    centers: Array,
    sigma: float | Tensor,
    *,
    weights: Array | None = None,
    method: str = "auto",
    tolerance: float | None = None,
) -> _Points:
    """Log density in nats of the mixture at every point; differentiable in all four arguments.

    Parameters
    ----------
    points : tensor or array of shape (m, d)
        float32 or float64; what comes in decides what goes out.
    centers : tensor or array of shape (n, d)
        Of the same dtype; n >= 1.
    sigma : float or tensor of one element
        Standard deviation of every component.
    weights : tensor or array of shape (n,), optional
        Not negative, of any positive total; equal by default.
    method : {"auto", "dense", "pruned"}
        "dense" takes every pair of a point and a center. "pruned" puts the centers into a tree, leaves out what cannot
        matter and takes as one what cannot be told apart. "auto" takes what it expects to be faster. Within a method
        the result at a point has the same bits in every batch of points.
    tolerance : float, optional
        What "pruned" may change a log density by, in nats; by default half an eps of the dtype, less than its rounding.
        Gradients take every pair.

    Returns
    -------
    tensor or array of shape (m,)
        |error| <= (4 + d/64) eps (1 + sum_k p_k |e_k|), with e_k the exponents, weights in them relative to the largest
        one, and p_k their softmax; and the tolerance, and the rounding of the result.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.
    """
    at, where, width, mass = as_floats("points", points), _centers(centers), as_sigma(sigma), _weights(weights)
    log_sum = log_sum_exp(at, where, width, weights=mass, method=method, tolerance=tolerance)
    density = log_sum - _log_total(where, mass) - where.shape[1] * (math.log(2 * math.pi) / 2 + width.log())
    return _like(points, density.to(at.dtype))


def mixture_entropy(
    centers: Array,
    sigma: float,
    *,
    weights: Array | None = None,
    tolerance: float | None = 0.01,
    confidence: float = 0.95,
    seed: int = 0,
    max_draws: int = 2**22,
) -> Estimate:
    """Differential entropy h(S + Z) of the mixture in nats, by Monte Carlo.

    Parameters and errors are those of `mixture_information`, of which it is the value plus d/2 log(2 pi e sigma^2).

    Returns
    -------
    Estimate
        In nats.
    """
    estimate = mixture_information(
        centers, sigma, weights=weights, tolerance=tolerance, confidence=confidence, seed=seed, max_draws=max_draws
    )
    noise = noise_entropy(_centers(centers).shape[1], as_sigma(sigma).item())
    return dataclasses.replace(
        estimate, value=estimate.value + noise, low=estimate.low + noise, high=estimate.high + noise
    )


def mixture_information(
    centers: Array,
    sigma: float,
    *,
    weights: Array | None = None,
    tolerance: float | None = 0.01,
    confidence: float = 0.95,
    seed: int = 0,
    max_draws: int = 2**22,
) -> Estimate:
    """Mutual information I(S; S + Z) in nats between the random center S and what the noise leaves of it.

    Parameters
    ----------
    centers : tensor or array of shape (n, d)
        float32 or float64; n >= 1. Equal centers are one center of their joint weight.
    sigma : float
        Standard deviation of the noise.
    weights : tensor or array of shape (n,), optional
        Not negative, of any positive total; equal by default.
    tolerance : float or None
        Half width in nats that the interval shall have: draws are added until it has, or `max_draws` is reached, which
        the result says. None: one batch.
    confidence : float
        Level of the interval.
    seed : int
        Seed of the noise.
    max_draws : int
        Budget of noise draws, at least 64.

    Returns
    -------
    Estimate
        In nats, between 0 and log n.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.

    Notes
    -----
    Draws are stratified over the centers, in order of cumulative weight, and antithetic. The standard error comes from
    pairs of neighbouring strata, whose difference can only overstate the spread within them (collapsed strata; Cochran,
    Sampling Techniques, 5A.12).
    """
    where, width, mass = _centers(centers).detach(), as_sigma(sigma).item(), _weights(weights)
    mass = None if mass is None else mass.detach()
    level = check_confidence(confidence)
    wanted = None if tolerance is None else check_positive("tolerance", tolerance)
    check_count("seed", seed, least=0)
    budget = check_count("max_draws", max_draws, least=64)
    # The core checks values: with no points it does nothing else.
    log_sum_exp(where[:0], where, as_sigma(width), weights=mass)
    if not where.isfinite().all():
        raise ValueError("centers: got NaN or infinity, wanted finite numbers")

    sampler = _Sampler(affine_coordinates(where, width, weights=mass), width, mass, seed)
    quantile = float(ndtri(0.5 + level / 2))
    strata = min(_FIRST_STRATA, budget // 2)
    sampler.draw(strata)
    while wanted is not None and quantile * sampler.standard_error > wanted and 2 * sampler.strata + 4 <= budget:
        forecast = _MARGIN * sampler.strata * (quantile * sampler.standard_error / wanted) ** 2
        more = min(max(forecast - sampler.strata, _FIRST_STRATA), _GROWTH * sampler.strata)
        sampler.draw(min(int(more), budget // 2 - sampler.strata))
    half_width = quantile * sampler.standard_error
    ceiling = _entropy(len(where), mass)

    def clip(information: float) -> float:
        return min(max(information, 0.0), ceiling)

    return Estimate(
        value=clip(sampler.mean),
        standard_error=sampler.standard_error,
        low=clip(sampler.mean - half_width),
        high=clip(sampler.mean + half_width),
        confidence=level,
        draws=2 * sampler.strata,
        converged=wanted is None or half_width <= wanted,
    )


def mixture_entropy_bounds(
    centers: _Points, sigma: float | Tensor, *, weights: Array | None = None
) -> tuple[_Points, _Points]:
    """Lower and upper bound of h(S + Z) in nats from pairwise distances; differentiable.

    Parameters
    ----------
    centers : tensor or array of shape (n, d)
        float32 or float64; n >= 1.
    sigma : float or tensor of one element
        Standard deviation of the noise.
    weights : tensor or array of shape (n,), optional
        Not negative, of any positive total; equal by default.

    Returns
    -------
    (lower, upper)
        Of shape (): tensors of the dtype of `centers`, or NumPy scalars for an array.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.

    Notes
    -----
    Source: Kolchinsky and Tracey, Estimating Mixture Entropy with Pairwise Distances (2017): Chernoff 1/2 divergence
    below, Kullback-Leibler divergence above.
    """
    where, width, mass = _centers(centers), as_sigma(sigma), _weights(weights)
    noise = where.shape[1] * (math.log(2 * math.pi * math.e) / 2 + width.log())

    def bound(scale: Tensor) -> Tensor:
        terms = log_sum_exp(where, where, scale, weights=mass) - _log_total(where, mass)
        mean = terms.mean() if mass is None else (mass.double() @ terms) / mass.double().sum()
        return (noise - mean).to(where.dtype)

    return _like(centers, bound(2 * width)), _like(centers, bound(width))


def noise_entropy(dim: int, sigma: float) -> float:
    """Return h(Z) = d/2 log(2 pi e sigma^2) of Z ~ N(0, sigma^2 I_d), in nats."""
    return dim * (math.log(2 * math.pi * math.e) / 2 + math.log(sigma))


class _Sampler:
    """Batches of stratified, antithetic draws of log N(T; S, sigma^2 I) - log g(T), and their mean so far."""

    def __init__(self, centers: Tensor, sigma: float, weights: Tensor | None, seed: int) -> None:
        self.centers, self.sigma, self.weights, self.seed = centers, sigma, weights, seed
        mass = torch.ones(len(centers), dtype=torch.float64) if weights is None else weights.double()
        self.cumulative = (mass.cumsum(0) / mass.sum()).numpy()
        self.batches: list[tuple[int, float, float]] = []  # strata, mean, variance of the mean

    @property
    def strata(self) -> int:
        return sum(strata for strata, _, _ in self.batches)

    @property
    def mean(self) -> float:
        return sum(strata * mean for strata, mean, _ in self.batches) / self.strata

    @property
    def standard_error(self) -> float:
        return math.sqrt(sum(strata**2 * variance for strata, _, variance in self.batches)) / self.strata

    def draw(self, strata: int) -> None:
        """Add a batch: one draw and its mirror image in each of `strata` equal parts of the total weight."""
        strata -= strata % 2
        random = stream(self.seed, len(self.batches))
        place = (np.arange(strata) + random.random(strata)) / strata
        index = np.searchsorted(self.cumulative, place, side="right").clip(max=len(self.centers) - 1)
        chosen = self.centers[torch.from_numpy(index)]
        noise = self.sigma * standard_normal(chosen.shape, random, chosen.dtype)
        points = torch.stack([chosen + noise, chosen - noise])
        # From the points as they were rounded, so that it cancels against the same term of the sum.
        own = -((points.double() - chosen.double()) / self.sigma).square().sum(-1) / 2
        log_sum = log_sum_exp(points.flatten(0, 1), self.centers, as_sigma(self.sigma), weights=self.weights)
        terms = (own.flatten() - log_sum).view(2, strata).mean(0) + _log_total(self.centers, self.weights)
        pairs = terms.view(-1, 2)
        variance = float((pairs[:, 0] - pairs[:, 1]).square().sum()) / strata**2
        self.batches.append((strata, float(terms.mean()), variance))


def _centers(centers: Array) -> Tensor:
    tensor = as_floats("centers", centers)
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"centers: got shape {tuple(tensor.shape)}, wanted (n, d) with n >= 1 and d >= 1")
    return tensor


def _weights(weights: Array | None) -> Tensor | None:
    if weights is None:
        return None
    tensor = as_floats("weights", weights)
    if tensor.sum().isinf():
        raise ValueError("weights: got an infinite total, wanted a finite one; scale them down")
    return tensor


def _log_total(centers: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return torch.tensor(math.log(len(centers)), dtype=torch.float64)
    return weights.double().sum().log()


def _entropy(n: int, weights: Tensor | None) -> float:
    if weights is None:
        return math.log(n)
    return float(torch.special.entr(weights.double() / weights.double().sum()).sum())


def _like(array: _Points, result: Tensor) -> _Points:
    return result if isinstance(array, Tensor) else result.numpy(force=True)[()]  # type: ignore[return-value]
