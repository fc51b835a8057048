"""Entropy and information of a Gaussian mixture by Monte Carlo, to a tolerance."""

from __future__ import annotations

import dataclasses
import sys

from layerbits._base import Array, Estimate, check_confidence, check_count, check_positive
from layerbits.kernels import Group, Processes, Workers, as_sigma, check_plain, log_sum_exp_isotropic
from layerbits.mixtures.arguments import as_centers, as_weights
from layerbits.mixtures.density import noise_entropy
from layerbits.mixtures.known_channel import KnownChannel
from layerbits.mixtures.stratified_passes import StratifiedPasses
from layerbits.mixtures.subspaces import resolved_coordinates
from layerbits.statistics import unseen_probability

# Strata of the first two passes.
_PILOT_STRATA, _FIRST_STRATA = 1024, 4096

# Largest ratio of the strata of a pass to the strata of all earlier passes, because the forecast may be wrong.
_GROWTH = 4

# A pass is larger than the forecast by this factor, so that the interval is usually narrow enough after it.
_MARGIN = 1.2


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
    """Estimate the differential entropy of a Gaussian mixture, in nats, by Monte Carlo.

    Parameters, errors and method are those of `mixture_information`: the entropy is the information plus the entropy of
    the noise, d/2 log(2 pi e sigma^2).

    Returns
    -------
    Estimate
        In nats.

    Examples
    --------
    >>> import numpy as np, layerbits
    >>> estimate = layerbits.mixture_entropy(np.array([[-1.0], [1.0]]), 0.5)
    >>> estimate.upper - estimate.lower <= 0.02
    True
    """
    information = mixture_information(
        centers, sigma, weights=weights, tolerance=tolerance, confidence=confidence, seed=seed, max_draws=max_draws
    )
    noise = noise_entropy(as_centers(centers).shape[1], as_sigma(sigma).item())
    return dataclasses.replace(
        information,
        value=information.value + noise,
        lower=information.lower + noise,
        upper=information.upper + noise,
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
    group: Group = None,
) -> Estimate:
    """Estimate the mutual information I(S; S + Z) of a random center S and noise Z ~ N(0, sigma^2 I), in nats.

    Parameters
    ----------
    centers : tensor or array of shape (n, d)
        The values of S, n >= 1; float32 or float64. Equal centers count as one center of their total weight. Tensors
        on a CUDA device are evaluated there.
    sigma : float
        Standard deviation of the noise.
    weights : tensor or array of shape (n,), optional
        Nonnegative, of any positive total; equal by default.
    tolerance : float or None
        Wanted half width of the interval, in nats: queries are added until the interval is as narrow as this, or until
        `max_draws` is reached (then ``converged`` is False). None: about ten thousand queries.
    confidence : float
        Level of the interval.
    seed : int
        Seed of the queries.
    max_draws : int
        Largest number of queries, at least 64.
    group : torch.distributed.ProcessGroup, optional
        Processes that make this call together, with the same arguments, and share its work. All get the result,
        which has the same bits for any number of processes on CPUs. By default this process works alone.

    Returns
    -------
    Estimate
        In nats, between 0 and log n.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names the argument. Or some
        centers are close, and float64 does not resolve sigma beside the farthest center.
    TypeError
        torch.func transforms the call.
    GroupError
        Another process of the group failed, made another call, or did not take part within the group's time-out.

    Notes
    -----
    Both ends of the interval are betting bounds, which hold for any number of queries and any stopping rule
    (`layerbits.statistics`). Both ends are moved into the bounds of Kolchinsky and Tracey (2017) if the n^2 pairs of
    centers cost no more than the queries. The queries are stratified and antithetic; the standard error is that of
    collapsed strata.

    Examples
    --------
    >>> import numpy as np, layerbits
    >>> estimate = layerbits.mixture_information(np.array([[-1.0], [1.0]]), 0.5)
    >>> estimate.lower <= 0.63272 <= estimate.upper
    True
    """
    processes = Processes(group)
    with processes.call("mixture_information"):
        options = {"tolerance": tolerance, "confidence": confidence, "seed": seed, "max_draws": max_draws}
        processes.check_equal("mixture_information", centers=centers, sigma=sigma, weights=weights, **options)
        centers, weights = as_centers(centers), as_weights(weights)
        check_plain("mixture_information and mixture_entropy", centers, weights)
        centers, sigma = centers.detach(), as_sigma(sigma).item()
        weights = None if weights is None else weights.detach()
        confidence = check_confidence(confidence)
        tolerance = None if tolerance is None else check_positive("tolerance", tolerance)
        seed, max_draws = check_count("seed", seed, minimum=0), check_count("max_draws", max_draws, minimum=64)
        # Without points, the kernel only checks its arguments.
        log_sum_exp_isotropic(centers[:0], centers, as_sigma(sigma), weights=weights)
        if not centers.isfinite().all():
            raise ValueError("centers: got NaN or infinity, wanted finite numbers")

        coordinates = resolved_coordinates(centers, sigma, weights=weights)
        channel = KnownChannel(coordinates, sigma, weights=weights, workers=Workers(processes=processes))
        # Mixing with the prior costs about `prior_weight` nats.
        lost = max(sys.float_info.min, (tolerance or 1.0) / 10)  # nats that a term may lose
        prior_weight = min(unseen_probability(2 * _FIRST_STRATA, 1 - confidence), lost)
        bet = channel.bet("I(X;T)", (1 - confidence) / 2, prior_weight, fixed_count=False)
        passes = StratifiedPasses(channel, bet, seed)
        passes.add(min(_PILOT_STRATA, max_draws // 8))
        passes.add(min(_FIRST_STRATA, max_draws // 2 - passes.strata))
        interval = passes.interval()
        while tolerance is not None and interval.half_width > tolerance and 2 * passes.strata + 4 <= max_draws:
            excess = interval.half_width / tolerance
            forecast = _MARGIN * passes.strata * excess * excess  # infinity, where a power would raise an error
            strata = min(max(forecast - passes.strata, _FIRST_STRATA), _GROWTH * passes.strata)
            passes.add(min(int(strata), max_draws // 2 - passes.strata))
            interval = passes.interval()
        if len(centers) <= passes.strata:
            interval = channel.clip_to_bounds(interval, channel.pairwise_bounds())
        estimate = Estimate(
            value=min(max(passes.mean, interval.lower), interval.upper) + 0.0,
            standard_error=passes.standard_error,
            lower=interval.lower,
            upper=interval.upper,
            confidence=confidence,
            draws=2 * passes.strata,
            converged=tolerance is None or interval.half_width <= tolerance,
        )
        return processes.check_result("mixture_information", estimate)
