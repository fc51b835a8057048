"""A wide density w of T with a bounded ratio N(t; s, sigma^2 I) / w(t), which bounds surprisals from above.

With a little of w mixed into it, a density q has -log q(t) <= -log w(t) - log(weight) at every t. Let d be the number
of dimensions, and let all signals lie within a distance R of a center c.

If the activation function of the layer bounds its signals, then w = N(c, sigma^2 (1 + delta) I), delta = R^2 /
(d sigma^2), for which the ratio is at most exp(d/2 (1 + log(1 + delta))) at every t. Otherwise R is assumed: w is a
Cauchy density, whose surprisal grows only with the logarithm of the distance, and the result is flagged.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.log_densities import Queries

# Signals without a known bound are assumed to lie at most this many times as far from the center as those of all draws.
# In d dimensions a factor of 10 adds d log 10 nats to the largest surprisal.
_TAIL_FACTOR = 10.0


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
        Upper bound of log(N(t; s, sigma^2 I) / w(t)) over all t and all signals s.
    tail_assumed : bool
        Whether the bound assumes how far signals may lie from the center; w is then a Cauchy density.
    """

    center: Tensor
    variance: float
    largest_log_ratio: float
    tail_assumed: bool

    @classmethod
    def of(cls, draws: Tensor, bases: Tensor, sigma: float, diameter: float) -> WideDensity:
        """Return a wide density for signals of which `draws` (N, r, d) and `bases` (N, q, d) are examples.

        `diameter` is an upper bound of the distance of any two signals; infinite if none is known. The center is made
        of `draws` alone.
        """
        centers = draws[:, 0].double()  # one draw of each input suffices
        dim = centers.shape[1]
        if math.isfinite(diameter):
            # The mean is in the convex hull of signals, so it is at most a diameter away from each of them.
            delta = (diameter / sigma) ** 2 / dim
            ratio = dim / 2 * (1 + math.log1p(delta))
            return cls(centers.mean(0), sigma**2 * (1 + delta), ratio, tail_assumed=False)
        center = centers.median(0).values
        distances = torch.linalg.vector_norm(centers - center, dim=1)
        variance = sigma**2 + float(distances.median()) ** 2 / dim
        farthest = max(_largest_distance(signals, center) for signals in (draws, bases))
        radius = _TAIL_FACTOR * (farthest + sigma * math.sqrt(dim))
        return cls(center, variance, _largest_ratio_to_cauchy(dim, sigma, variance, radius), tail_assumed=True)

    def log_density(self, queries: Queries) -> Doubles:
        """Return the log density at queries, relative to that of their noise, (n, q)."""
        squares = (queries.points - self.center).square().sum(-1) / self.variance
        dim, log_volume = len(self.center), len(self.center) / 2 * math.log(self.variance / queries.sigma**2)
        cauchy, gaussian = _log_cauchy_constant(dim) - (1 + dim) / 2 * squares.log1p(), -squares / 2
        log_shape = cauchy if self.tail_assumed else gaussian
        log_density: Doubles = log_shape.numpy(force=True) - log_volume - queries.noise_log_density
        return log_density


def _log_cauchy_constant(dim: int) -> float:
    """Return the log density at the center of the standard Cauchy density in `dim` dimensions, plus d/2 log(2 pi)."""
    return math.lgamma((1 + dim) / 2) - math.lgamma(0.5) + dim / 2 * math.log(2)


def _largest_ratio_to_cauchy(dim: int, sigma: float, variance: float, radius: float) -> float:
    """Return an upper bound of log(N(t; s, sigma^2 I) / w(t)) over all t and all s within `radius` of the center.

    With u = |t - s|, the logarithm is at most (1 + d)/2 log(1 + (radius + u)^2 / variance) - u^2 / (2 sigma^2) plus a
    constant. Where its derivative is 0, u (radius + u) <= (1 + d) sigma^2, so u <= sqrt(1 + d) sigma.
    """
    farthest = radius + math.sqrt(1 + dim) * sigma
    log_volume = dim / 2 * math.log(variance / sigma**2)
    return (1 + dim) / 2 * math.log1p(farthest**2 / variance) + log_volume - _log_cauchy_constant(dim)


def _largest_distance(signals: Tensor, center: Tensor) -> float:
    """Return the largest distance of signals (N, r, d) from the center, a draw at a time to save memory."""
    distances = [(signals[:, k].double() - center).square().sum(-1).max() for k in range(signals.shape[1])]
    return math.sqrt(float(torch.stack(distances).max())) if distances else 0.0
