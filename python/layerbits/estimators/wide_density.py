"""A wide density w of T with a bounded ratio N(t; s, sigma^2 I) / w(t), which bounds surprisals from above.

With a little of w mixed into it, a density q has -log q(t) <= -log w(t) - log(weight) at every t. Let d be the number
of dimensions, and let all signals lie within a distance R of a center c.

If the activation function of the layer bounds its signals, then w = N(c, sigma^2 (1 + delta) I), delta = R^2 /
(d sigma^2), for which the ratio is at most exp(d/2 (1 + log(1 + delta))) at every t. Otherwise R is assumed: w is a
Cauchy density, whose surprisal grows only with the logarithm of the distance, and the result is flagged.

With `DropoutNoise` the noise of a signal s has the covariance diag(sigma^2 + alpha^2 s^2); its variances are at least
sigma^2, and those of all signals within R are at most a known v. Then sigma^2 (1 + delta) is replaced by v + R^2 / d.
For a mean over tokens v follows from the region of the scales (`layerbits.mixtures.scales_of`).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.log_densities import Queries
from layerbits.mixtures import means_of, scales_of

# Signals without a known bound are assumed to lie at most this many times as far from the center as those of the pilot.
# In d dimensions a factor of 10 adds d log 10 nats to the largest surprisal.
TAIL_FACTOR = 10.0


@dataclasses.dataclass(frozen=True)
class SignalRegion:
    """A ball that holds all signals of a layer.

    Attributes
    ----------
    center : Tensor of shape (d,)
        The center c, in float64.
    radius : float
        Upper bound R of the distance of a signal from the center.
    largest_value : float
        Upper bound of the absolute value of a unit.
    median_square : float
        Square of the median distance of the draws from the center; 0 if R is not assumed.
    assumed : bool
        Whether R is assumed: the activation function does not bound the signals.
    """

    center: Tensor
    radius: float
    largest_value: float
    median_square: float
    assumed: bool

    @classmethod
    def of(cls, draws: Tensor, bases: tuple[Tensor, Tensor], sigma: float, diameter: float) -> SignalRegion:
        """Return the region of the signals of which `draws` and `bases` are examples, as in `WideDensity.of`."""
        centers = draws[:, 0].double()  # one draw of each input suffices
        dim = centers.shape[1]
        if math.isfinite(diameter):
            # The mean is in the convex hull of signals, so it is at most a diameter away from each of them. All units
            # have one range, whose length is diameter / sqrt(d).
            center = centers.mean(0)
            largest_value = float(center.abs().max()) + diameter / math.sqrt(dim)
            return cls(center, diameter, largest_value, 0.0, assumed=False)
        center = centers.median(0).values
        distances = torch.linalg.vector_norm(centers - center, dim=1)
        farthest_of_pilot = max(_largest_distance(signals, center) for signals in (draws, bases[0]))
        farthest = _largest_distance(bases[1], center)
        radius = assumed_radius(farthest_of_pilot, farthest, sigma * math.sqrt(dim))
        largest_value = float(center.abs().max()) + radius
        return cls(center, radius, largest_value, float(distances.median()) ** 2, assumed=True)


@dataclasses.dataclass(frozen=True)
class WideDensity:
    """A wide density of T.

    Attributes
    ----------
    center : Tensor of shape (d,)
        The center c, in float64.
    variance : float
        Variance of a coordinate of the Gaussian; square of the scale of the Cauchy density.
    largest_log_ratio : float
        Upper bound of log(r(t) / w(t)) over all t and all signals s, with r the density of s plus noise.
    tail_assumed : bool
        Whether the bound assumes how far signals may lie from the center; w is then a Cauchy density.
    """

    center: Tensor
    variance: float
    largest_log_ratio: float
    tail_assumed: bool

    @classmethod
    def of(
        cls, draws: Tensor, bases: tuple[Tensor, Tensor], sigma: float, diameter: float, alpha: float = 0.0
    ) -> WideDensity:
        """Return a wide density for signals of which `draws` (N, r, d) and `bases` are examples.

        Parameters
        ----------
        bases : tuple of Tensor of shape (N, q, d)
            The signals of the queries that choose a density, and those of the queries that evaluate the density.
        diameter : float
            Upper bound of the distance of any two signals; infinite if none is known.
        alpha : float
            Deviation of the noise relative to the signal.
        """
        pilot, final = bases
        region = SignalRegion.of(means_of(draws), (means_of(pilot), means_of(final)), sigma, diameter)
        dim, scales, largest_variance = draws.shape[2], scales_of(draws), sigma**2
        if alpha:
            scale_region = SignalRegion.of(scales, (scales_of(pilot), scales_of(final)), sigma, diameter)
            largest_variance += (alpha * scale_region.largest_value) ** 2
        if not region.assumed:
            variance = largest_variance + diameter**2 / dim
            ratio = dim / 2 * (1 + math.log(variance / sigma**2))
            return cls(region.center, variance, ratio, tail_assumed=False)
        variance = sigma**2 + region.median_square / dim
        if alpha:
            variance += alpha**2 * float(scales[:, 0].double().square().mean(1).median())
        ratio = _largest_ratio_to_cauchy(dim, sigma, variance, region.radius, largest_variance)
        return cls(region.center, variance, ratio, tail_assumed=True)

    def log_density(self, queries: Queries) -> Doubles:
        """Return the log density at queries, relative to that of their noise, (n, q)."""
        squares = (queries.points - self.center).square().sum(-1) / self.variance
        dim, log_volume = len(self.center), len(self.center) / 2 * math.log(self.variance / queries.sigma**2)
        log_shape = _log_cauchy_constant(dim) - (1 + dim) / 2 * squares.log1p() if self.tail_assumed else -squares / 2
        log_density: Doubles = log_shape.numpy(force=True) - log_volume - queries.noise_log_density
        return log_density


def assumed_radius(farthest_of_pilot: float, farthest: float, noise: float) -> float:
    """Return the assumed largest distance of a signal from the center, where no bound is known.

    The radius is `TAIL_FACTOR` times the sum of the largest distance of the pilot signals and `noise`, sigma sqrt(d).
    It must not depend on the signals that a bet evaluates, whose largest distance is `farthest`. If one of these
    signals lies outside, `farthest` replaces the distance of the pilot signals, and no end is certain.
    """
    radius = TAIL_FACTOR * (farthest_of_pilot + noise)
    return radius if farthest <= radius else TAIL_FACTOR * (farthest + noise)


def _log_cauchy_constant(dim: int) -> float:
    """Return the log density at the center of the standard Cauchy density in `dim` dimensions, plus d/2 log(2 pi)."""
    return math.lgamma((1 + dim) / 2) - math.lgamma(0.5) + dim / 2 * math.log(2)


def _largest_ratio_to_cauchy(dim: int, sigma: float, variance: float, radius: float, largest_variance: float) -> float:
    """Return an upper bound of log(r(t) / w(t)) over all t and all signals s within `radius` of the center.

    The variances of the noise are between sigma^2 and v, the largest. With u = |t - s|, the logarithm is at most
    (1 + d)/2 log(1 + (radius + u)^2 / variance) - u^2 / (2 v) plus a constant. Where its derivative is 0,
    u (radius + u) <= (1 + d) v, so u <= sqrt((1 + d) v).
    """
    farthest = radius + math.sqrt((1 + dim) * largest_variance)
    log_volume = dim / 2 * math.log(variance / sigma**2)
    return (1 + dim) / 2 * math.log1p(farthest**2 / variance) + log_volume - _log_cauchy_constant(dim)


def _largest_distance(signals: Tensor, center: Tensor) -> float:
    """Return the largest distance of signals (N, r, d) from the center, a draw at a time to save memory."""
    distances = [(signals[:, k].double() - center).square().sum(-1).max() for k in range(signals.shape[1])]
    return math.sqrt(float(torch.stack(distances).max())) if distances else 0.0
