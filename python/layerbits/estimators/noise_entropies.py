"""The entropy h(T|S) of a layer behind noise with a `DropoutNoise`, whose variances depend on the signal.

Given the signal s, T has the entropy d/2 log(2 pi e sigma^2) + g(s) with g(s) = 1/2 sum_k log(1 + (alpha s_k/sigma)^2).
So h(T|S) is a constant plus E g(S), the mean of terms at independent draws. Its interval is a bet.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate
from layerbits.estimators.wide_density import SignalRegion
from layerbits.mixtures import noise_entropy, scales_of
from layerbits.statistics import Interval, JackknifeMean, lower_mean_bound, split_passes, upper_mean_bound

# One draw in this many is a pilot, which only sets stakes and the assumed range of the signals.
_PILOT_SHARE = 4


@dataclasses.dataclass(frozen=True)
class NoiseEntropy:
    """h(T|S), in nats.

    Attributes
    ----------
    mean, standard_error : float
        Mean over inputs and draws, and its standard error.
    interval : Interval
        Confidence interval.
    tail_assumed : bool
        Whether the upper end assumes a largest distance of signals from their center.
    """

    mean: float
    standard_error: float
    interval: Interval
    tail_assumed: bool

    @classmethod
    def of(cls, signals: Tensor, sigma: float, alpha: float, diameter: float, risk: float) -> NoiseEntropy:
        """Estimate h(T|S) from signals (N, r, d) of independent draws, r >= 2; those of a mean over tokens are complex.

        Parameters
        ----------
        diameter : float
            Upper bound of the distance of any two signals; infinite if none is known.
        risk : float
            Probability with which each end of the interval may be wrong.
        """
        n_inputs, n_draws, dim = signals.shape
        signals = scales_of(signals)
        n_pilot = max(1, n_draws // _PILOT_SHARE)
        pilot_draws = signals[:, :n_pilot]
        region = SignalRegion.of(pilot_draws, (pilot_draws, signals[:, n_pilot:]), sigma, diameter)
        # The logarithm is concave in the squares, so g is largest where all units have the same square.
        farthest = float(region.center.norm()) + region.radius
        ratio = alpha / sigma
        largest = dim / 2 * math.log1p((ratio * farthest) ** 2 / dim)
        draws = [(draw.double() * ratio).square().log1p().sum(1) / 2 for draw in signals.unbind(1)]
        terms = torch.stack(draws, 1).numpy(force=True)
        # A pilot has at least two terms.
        pilot = terms[:, :n_pilot].ravel() if n_inputs * n_pilot > 1 else np.array([0.0, largest])
        passes = [pilot, *split_passes(terms[:, n_pilot:])]
        lower = lower_mean_bound(passes, lower_limit=0.0, upper_limit=largest, risk=risk)
        upper = upper_mean_bound(passes, lower_limit=0.0, upper_limit=largest, risk=risk)
        mean = JackknifeMean.of_terms(terms)
        of_zero = noise_entropy(dim, sigma)
        interval = Interval(lower, upper).shifted(of_zero)
        return cls(mean.value + of_zero, mean.standard_error, interval, region.assumed)

    def added_to(self, estimate: TwoSidedEstimate) -> TwoSidedEstimate:
        """Return the entropy of T from an estimate of the entropy less h(T|S), of the same draws."""
        shifted = estimate.shifted(self.mean)
        ends = estimate.interval
        return dataclasses.replace(
            shifted,
            interval=Interval(ends.lower + self.interval.lower, ends.upper + self.interval.upper),
            plug_in_error=shifted.plug_in_error + self.standard_error,
            decoded_error=shifted.decoded_error + self.standard_error,
            point=dataclasses.replace(shifted.point, sampling_error=shifted.point.sampling_error + self.standard_error),
            tail_assumed=shifted.tail_assumed or self.tail_assumed,
        )


def entropies_of_layer(
    estimates: Mapping[str, TwoSidedEstimate], sample: LayerSample, risk: float
) -> dict[str, TwoSidedEstimate]:
    """Return h(T) and h(T|X) of a layer from estimates that lack the entropy of the noise; no entropies of a slice.

    `risk` is the probability with which each end of an interval may be wrong. Behind noise with `alpha`, the ends of
    `estimates` have half of it.
    """
    if sample.is_slice:
        return {}
    names = ("h(T)", "h(T|X)")
    if sample.alpha and not sample.is_exact:
        noise = NoiseEntropy.of(sample.signals, sample.sigma, sample.alpha, sample.diameter, risk / 2)
        return {name: noise.added_to(estimates[name]) for name in names}
    return {name: estimates[name].shifted(sample.noise_entropy) for name in names}
