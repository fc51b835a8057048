"""Gaussian mixtures sum_k w_k N(c_k, sigma^2 I): density, entropy, information, bounds. Pure functions.

With S the random center and Z the noise, h(S + Z) = I(S; S + Z) + h(Z) with h(Z) known. So both are estimated as
I = E[log N(T; S, sigma^2 I) - log g(T)], in which the squared length of the noise cancels (the control variate):
separated centers give log n without any variance.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Array, Doubles, Estimate, check_confidence, check_count, check_positive
from layerbits.kernels import NormalStream, as_floats, as_sigma, log_sum_exp_isotropic
from layerbits.mixtures.subspaces import affine_coordinates
from layerbits.statistics import lower_mean_bound, rare_share, secured, upper_mean_bound

_Points = TypeVar("_Points", bound=Array)

_PILOT_STRATA, _FIRST_STRATA = 1024, 4096
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
        float32 or float64; what comes in decides what goes out. Tensors of one device, the CPU or a CUDA device.
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
    log_sum = log_sum_exp_isotropic(at, where, width, weights=mass, method=method, tolerance=tolerance)
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
        estimate, value=estimate.value + noise, lower=estimate.lower + noise, upper=estimate.upper + noise
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
        float32 or float64; n >= 1. Equal centers are one center of their joint weight. Tensors may be on a CUDA device,
        which then does the work.
    sigma : float
        Standard deviation of the noise.
    weights : tensor or array of shape (n,), optional
        Not negative, of any positive total; equal by default.
    tolerance : float or None
        Half width in nats that the interval shall have: draws are added until it has, or `max_draws` is reached, which
        the result says. None: some ten thousand draws.
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
    Sampling Techniques, 5A.12). The interval makes no such assumptions: it is one for means of terms bounded on one
    side, and holds whenever draws end (`layerbits.statistics.mean_bounds`), rare confusions included.
    """
    where, width, mass = _centers(centers).detach(), as_sigma(sigma).item(), _weights(weights)
    mass = None if mass is None else mass.detach()
    level = check_confidence(confidence)
    wanted = None if tolerance is None else check_positive("tolerance", tolerance)
    number, budget = check_count("seed", seed, minimum=0), check_count("max_draws", max_draws, minimum=64)
    # The core checks values: with no points it does nothing else.
    log_sum_exp_isotropic(where[:0], where, as_sigma(width), weights=mass)
    if not where.isfinite().all():
        raise ValueError("centers: got NaN or infinity, wanted finite numbers")

    ceiling = _entropy(len(where), mass)
    # What is kept for centers that the decoder of the lower bound deems impossible, and costs about as many nats.
    share = min(rare_share(2 * _FIRST_STRATA, 1 - level), (wanted or 1.0) / 10)
    sampler = _Sampler(affine_coordinates(where, width, weights=mass)[0], width, mass, number, share)
    sampler.draw(min(_PILOT_STRATA, budget // 8))
    sampler.draw(min(_FIRST_STRATA, budget // 2 - sampler.strata))
    low, high = sampler.interval(ceiling, (1 - level) / 2)
    while wanted is not None and high - low > 2 * wanted and 2 * sampler.strata + 4 <= budget:
        forecast = _MARGIN * sampler.strata * ((high - low) / (2 * wanted)) ** 2
        more = min(max(forecast - sampler.strata, _FIRST_STRATA), _GROWTH * sampler.strata)
        sampler.draw(min(int(more), budget // 2 - sampler.strata))
        low, high = sampler.interval(ceiling, (1 - level) / 2)
    if len(where) <= sampler.strata:  # then their pairs cost no more than the draws did
        below, above = (float(one) for one in pairwise_information_bounds(where, as_sigma(width), mass))
        low, high = max(low, below), min(high, above)
    low, high = min(low, ceiling), min(max(high, 0.0), ceiling)
    low = min(low, high)  # equal up to rounding, where the bounds meet
    return Estimate(
        value=min(max(sampler.mean, low), high),
        standard_error=sampler.standard_error,
        lower=low,
        upper=high,
        confidence=level,
        draws=2 * sampler.strata,
        converged=wanted is None or high - low <= 2 * wanted,
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
    lower, upper = pairwise_information_bounds(where, width, mass)
    return _like(centers, (noise + lower).to(where.dtype)), _like(centers, (noise + upper).to(where.dtype))


def pairwise_information_bounds(centers: Tensor, sigma: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the bounds of `mixture_entropy_bounds` for I(S; S + Z), in float64."""

    def bound(scale: Tensor) -> Tensor:
        terms = log_sum_exp_isotropic(centers, centers, scale, weights=weights) - _log_total(centers, weights)
        return -(terms.mean() if weights is None else (weights.double() @ terms) / weights.double().sum())

    return bound(2 * sigma), bound(sigma)


def noise_entropy(dim: int, sigma: float) -> float:
    """Return h(Z) = d/2 log(2 pi e sigma^2) of Z ~ N(0, sigma^2 I_d), in nats."""
    return dim * (math.log(2 * math.pi * math.e) / 2 + math.log(sigma))


class _Sampler:
    """Batches of stratified, antithetic draws of log N(T; S, sigma^2 I) - log g(T), and their mean so far."""

    def __init__(self, centers: Tensor, sigma: float, weights: Tensor | None, seed: int, share: float) -> None:
        self.centers, self.sigma, self.weights, self.seed, self.share = centers, sigma, weights, seed, share
        mass = np.ones(len(centers)) if weights is None else weights.double().numpy(force=True)
        self.cumulative = mass.cumsum() / mass.sum()
        self.batches: list[tuple[int, float, float]] = []  # strata, mean, variance of the mean
        self.terms: list[Doubles] = []  # of each batch, a mean of both draws for each stratum
        self.secured: list[Doubles] = []  # the same for a decoder that is certain of nothing

    @property
    def strata(self) -> int:
        return sum(strata for strata, _, _ in self.batches)

    @property
    def mean(self) -> float:
        return sum(strata * mean for strata, mean, _ in self.batches) / self.strata

    @property
    def standard_error(self) -> float:
        return math.sqrt(sum(strata**2 * variance for strata, _, variance in self.batches)) / self.strata

    def interval(self, ceiling: float, risk: float) -> tuple[float, float]:
        """Return a confidence interval for the information, between 0 and `ceiling`; the first batch is the pilot."""
        masses = np.diff(self.cumulative, prepend=0.0)
        # No draw can tell more than that it came from the rarest center.
        most = -math.log(masses[masses > 0].min())
        stop: dict[str, Any] = {"risk": risk, "foreseen": False}
        low = lower_mean_bound(self.secured[:1], self.secured[1:], floor=math.log(self.share), ceiling=ceiling, **stop)
        high = upper_mean_bound(self.terms[:1], self.terms[1:], floor=0.0, ceiling=most, **stop)
        return min(max(low, 0.0), ceiling), min(high, ceiling)

    def draw(self, strata: int) -> None:
        """Add a batch: one draw and its mirror image in each of `strata` equal parts of the total weight."""
        strata -= strata % 2
        random = NormalStream(self.seed, len(self.batches))
        place = (np.arange(strata) + random.generator.random(strata)) / strata
        index = np.searchsorted(self.cumulative, place, side="right").clip(max=len(self.centers) - 1)
        chosen = self.centers[torch.from_numpy(index)]
        noise = self.sigma * random.like(chosen)
        points = torch.stack([chosen + noise, chosen - noise])
        # From the points as they were rounded, so that it cancels against the same term of the sum.
        own = -((points.double() - chosen.double()) / self.sigma).square().sum(-1) / 2
        log_sum = log_sum_exp_isotropic(points.flatten(0, 1), self.centers, as_sigma(self.sigma), weights=self.weights)
        both = (own - log_sum.view_as(own) + _log_total(self.centers, self.weights)).numpy(force=True)
        terms: Doubles = both.mean(0)
        self.terms.append(terms)
        self.secured.append(secured(both, self.share).mean(0))
        variance = float(np.square(terms[::2] - terms[1::2]).sum()) / strata**2
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
        return torch.tensor(math.log(len(centers)), dtype=torch.float64, device="cpu")
    return weights.double().sum().log()


def _entropy(n: int, weights: Tensor | None) -> float:
    if weights is None:
        return math.log(n)
    return float(torch.special.entr(weights.double() / weights.double().sum()).sum())


def _like(array: _Points, result: Tensor) -> _Points:
    return result if isinstance(array, Tensor) else result.numpy(force=True)[()]  # type: ignore[return-value]
