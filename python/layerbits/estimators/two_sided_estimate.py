"""A quantity between a plug-in bound and a decoder bound: point estimate, interval, and cause of the interval's width.

The point estimate is the mean of two numbers: the decoder bound without the cost of its prior, and the plug-in bound
less half of its first-order bias. The errors of the two bounds have first-order terms of opposite signs; in many
dimensions the error of the plug-in is the larger one. The mean of the plain bounds is a little better on scalar
networks, and worse in more dimensions (`python -m benchmarks.topics.bound_errors`; docs/theory.md has the table).

A wide interval has its midpoint as value, and no standard error (`layerbits.statistics.point_value`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from layerbits.estimators.decoder_bound import DecoderBound
from layerbits.mixtures import ChannelEstimate
from layerbits.statistics import Interval, JackknifeMean, point_value

# Ends of an interval may cross by this much through rounding (nats).
_ROUNDING = 1e-9

# Where a query's own draw has at most this share of the mixture, the first-order bias of the plug-in is at least half
# of its bias, in networks of `layerbits.calibration` (tests/estimators/test_own_shares.py).
_LARGEST_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class TwoSidedEstimate:
    """A quantity of a layer, in nats.

    The functions of this module return entropies less the entropy of the noise.

    Attributes
    ----------
    value, standard_error : float
        Point estimate, which lies in the interval, and its standard error; NaN if the value is the midpoint of a wide
        interval.
    interval : Interval
        Confidence interval for the true value.
    plug_in, plug_in_error : float
        Plug-in bound and its standard error: above an information, below an entropy, on average.
    decoded, decoded_error : float
        Decoder bound and its standard error, on the opposite side. For a known channel both bounds are the mean of its
        terms; the bound above includes the dimension loss.
    decoder : str
        Name of the decoder; ``"exact"`` for a known channel.
    limited_by : str
        Main cause of the interval's width: ``"queries"``, ``"draws"``, ``"decoder"``, ``"draws or decoder"`` (the
        bounds do not tell which) or ``"dimensions"``.
    separated_lower : float
        For I(X;T), the lower end that as many queries leave if they separate all inputs; otherwise NaN, or unused.
    """

    value: float
    standard_error: float
    interval: Interval
    plug_in: float
    plug_in_error: float
    decoded: float
    decoded_error: float
    decoder: str
    limited_by: str
    separated_lower: float = math.nan

    def shifted(self, constant: float) -> TwoSidedEstimate:
        """Return the estimate of the quantity plus a constant."""
        return dataclasses.replace(
            self,
            value=self.value + constant,
            interval=self.interval.shifted(constant),
            plug_in=self.plug_in + constant,
            decoded=self.decoded + constant,
        )

    def with_value(self, value: float, sampling_error: float) -> TwoSidedEstimate:
        """Return the estimate with another value between its bounds, moved into the interval."""
        bounds = Interval(min(self.plug_in, self.decoded), max(self.plug_in, self.decoded))
        value, standard_error = point_value(value, sampling_error, bounds, self.interval)
        return dataclasses.replace(self, value=value, standard_error=standard_error)


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The bounds of a quantity from draws.

    Attributes
    ----------
    plug_in : JackknifeMean
        Plug-in bound: above an information, below an entropy.
    decoder : DecoderBound
        Decoder bound, on the other side.
    own_share : float
        Mean share of a query's own draw in the mixture of all draws that the plug-in takes.
    """

    plug_in: JackknifeMean
    decoder: DecoderBound
    own_share: float

    @property
    def sampling_error(self) -> float:
        """Standard error of the mean of both bounds, if they vary together; otherwise too large."""
        return (self.plug_in.standard_error + self.decoder.mean.standard_error) / 2

    def causes(self, gap: float) -> dict[str, float]:
        """Return the parts of the gap between the bounds, in nats, by their cause."""
        by_draws = min(abs(self.plug_in.bias), max(0.0, gap))
        cause = "decoder" if self.own_share <= _LARGEST_SHARE else "draws or decoder"
        return {"draws": by_draws, cause: max(0.0, gap) - by_draws}


def information_estimate(bounds: Bounds, upper_end: float, ceiling: float, dimension_loss: float) -> TwoSidedEstimate:
    """Estimate an information from the plug-in bound above and a decoder bound below.

    Parameters
    ----------
    upper_end : float
        Upper end of the interval in the dimensions that were kept; `dimension_loss` is added.
    ceiling : float
        Largest possible value of the information.
    """
    plug_in, decoder = bounds.plug_in, bounds.decoder
    decoded = decoder.mean
    interval = Interval(max(decoder.end, 0.0), upper_end + dimension_loss).clipped(-math.inf, ceiling)
    interval = _without_rounding(interval)
    largest = max(plug_in.value, min(plug_in.value + dimension_loss, ceiling))
    corrected = Interval(decoded.value + decoder.cost, plug_in.value - plug_in.bias / 2)
    value, standard_error = _point(corrected, bounds.sampling_error, Interval(decoded.value, largest), interval)
    return TwoSidedEstimate(
        value=value,
        standard_error=standard_error,
        interval=interval,
        plug_in=largest,
        plug_in_error=plug_in.standard_error,
        decoded=decoded.value,
        decoded_error=decoded.standard_error,
        decoder=decoder.decoder,
        limited_by=_main_cause(interval, bounds.causes(plug_in.value - decoded.value), dimension_loss),
        separated_lower=decoder.separated_end,
    )


def entropy_estimate(bounds: Bounds, lower_end: float, dimension_loss: float) -> TwoSidedEstimate:
    """Estimate an entropy from the plug-in bound below and a decoder bound above.

    Parameters
    ----------
    lower_end : float
        Lower end of the interval; the upper end is that of the decoder bound plus `dimension_loss`.
    """
    plug_in, decoder = bounds.plug_in, bounds.decoder
    decoded = decoder.mean
    interval = _without_rounding(Interval(lower_end, decoder.end + dimension_loss))
    largest = decoded.value + dimension_loss
    corrected = Interval(plug_in.value - plug_in.bias / 2, decoded.value - decoder.cost)
    value, standard_error = _point(corrected, bounds.sampling_error, Interval(plug_in.value, largest), interval)
    return TwoSidedEstimate(
        value=value,
        standard_error=standard_error,
        interval=interval,
        plug_in=plug_in.value,
        plug_in_error=plug_in.standard_error,
        decoded=largest,
        decoded_error=decoded.standard_error,
        decoder=decoder.decoder,
        limited_by=_main_cause(interval, bounds.causes(decoded.value - plug_in.value), dimension_loss),
    )


def exact_estimate(channel: ChannelEstimate, ceiling: float, dimension_loss: float) -> TwoSidedEstimate:
    """Estimate an information of a known channel: both bounds are its mean, the upper bound plus `dimension_loss`."""
    interval = Interval(channel.interval.lower, min(channel.interval.upper + dimension_loss, ceiling))
    interval = _without_rounding(interval)
    largest = max(channel.mean, min(channel.mean + dimension_loss, ceiling))
    bounds = Interval(channel.mean, largest)
    value, standard_error = point_value(channel.mean, channel.standard_error, bounds, interval)
    return TwoSidedEstimate(
        value=value,
        standard_error=standard_error,
        interval=interval,
        plug_in=largest,
        plug_in_error=channel.standard_error,
        decoded=channel.mean,
        decoded_error=channel.standard_error,
        decoder="exact",
        limited_by=_main_cause(interval, {}, dimension_loss),
        separated_lower=channel.separated_lower,
    )


def _without_rounding(interval: Interval) -> Interval:
    """Return the interval with ends that do not cross through rounding, and 0.0 in place of -0.0."""
    lower = interval.upper if 0 < interval.lower - interval.upper < _ROUNDING else interval.lower
    return Interval(lower + 0.0, interval.upper + 0.0)


def _point(corrected: Interval, sampling_error: float, bounds: Interval, interval: Interval) -> tuple[float, float]:
    """Return the middle of two corrected bounds, each moved into the interval, and its standard error."""
    corrected = corrected.clipped(interval.lower, interval.upper)
    return point_value((corrected.lower + corrected.upper) / 2, sampling_error, bounds, interval)


def _main_cause(interval: Interval, causes_of_gap: Mapping[str, float], dimension_loss: float) -> str:
    """Return the cause of the largest part of the interval's width; queries cause the remaining part."""
    width = interval.upper - interval.lower
    by_queries = width - sum(causes_of_gap.values()) - dimension_loss
    causes = {"queries": by_queries, **causes_of_gap, "dimensions": dimension_loss}
    return max(causes, key=causes.__getitem__)
