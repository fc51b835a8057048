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

from layerbits.estimators.decoder_bound import DecoderBound
from layerbits.estimators.width_causes import WidthCauses
from layerbits.mixtures import ChannelEstimate
from layerbits.statistics import Interval, JackknifeMean, is_narrow, point_value

# Ends of an interval may cross, and the upper end of an information may lie below 0, by this much through rounding
# (nats): log densities of float32 signals have errors of some 1e-7.
_ROUNDING = 1e-6

# Where a query's own draw has at most this share of the mixture, the first-order bias of the plug-in is at least
# half of its bias, in networks of `layerbits.calibration` (tests/estimators/test_own_shares.py).
_LARGEST_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class Point:
    """The middle of two bounds, in nats, which any interval may hold.

    Attributes
    ----------
    corrected : Interval
        Both bounds, corrected by the known parts of their errors.
    sampling_error : float
        Standard error of the middle of the bounds.
    bounds : Interval
        Both bounds.
    """

    corrected: Interval
    sampling_error: float
    bounds: Interval

    def value_in(self, interval: Interval) -> tuple[float, float]:
        """Return the middle of the corrected bounds, each moved into the interval, and its standard error."""
        corrected = self.corrected.clipped(interval.lower, interval.upper)
        return point_value((corrected.lower + corrected.upper) / 2, self.sampling_error, self.bounds, interval)

    def shifted(self, constant: float) -> Point:
        """Return the point moved by a constant."""
        return Point(self.corrected.shifted(constant), self.sampling_error, self.bounds.shifted(constant))


@dataclasses.dataclass(frozen=True)
class TwoSidedEstimate:
    """A quantity of a layer, in nats.

    The entropies that functions of this module return lack the entropy of the noise.

    Attributes
    ----------
    interval : Interval
        Confidence interval for the true value.
    plug_in, plug_in_error : float
        Plug-in bound and its standard error: above an information, below an entropy, on average.
    decoded, decoded_error : float
        Decoder bound and its standard error, on the opposite side. For a known channel both bounds are the mean of the
        terms; the bound above includes the dimension loss.
    decoder : str
        Name of the decoder; ``"exact"`` for a known channel.
    limited_by : str
        Main cause of the interval's width: ``"queries"``, ``"draws"``, ``"decoder"``, ``"draws or decoder"`` (the
        bounds cannot separate the two), ``"dimensions"`` or ``"samples"`` (of the noises behind a query); empty if the
        ends are equal.
    separated_lower : float
        For I(X;T), the lower end for the same number of queries, if they separate all inputs; otherwise NaN, or unused.
    tail_assumed : bool
        Whether the upper end of an entropy assumes a largest distance of signals from their center.
    point : Point
        The middle of the bounds, from which `value` and `standard_error` follow.
    lent : Interval or None
        The ends of an information that other layers may take over, with a smaller risk; None if there are none.
    taken : str
        Which ends of the interval come from other layers; empty if none does.
    causes : WidthCauses or None
        For an information, the causes of the width, also of an interval with ends of other layers.
    """

    interval: Interval
    plug_in: float
    plug_in_error: float
    decoded: float
    decoded_error: float
    decoder: str
    limited_by: str
    point: Point
    tail_assumed: bool = False
    separated_lower: float = math.nan
    lent: Interval | None = None
    taken: str = ""
    causes: WidthCauses | None = None

    @property
    def value(self) -> float:
        """Point estimate, which lies in the interval."""
        return self.point.value_in(self.interval)[0]

    @property
    def standard_error(self) -> float:
        """Standard error of the value; NaN if the value is the midpoint of a wide interval."""
        return self.point.value_in(self.interval)[1]

    def shifted(self, constant: float) -> TwoSidedEstimate:
        """Return the estimate of the quantity plus a constant. Rounding may make the ends equal."""
        interval = self.interval.shifted(constant)
        return dataclasses.replace(
            self,
            interval=interval,
            limited_by=self.limited_by if interval.lower < interval.upper else "",
            plug_in=self.plug_in + constant,
            decoded=self.decoded + constant,
            point=self.point.shifted(constant),
        )

    def with_interval(self, interval: Interval) -> TwoSidedEstimate:
        """Return the estimate with another interval, and the main cause of its width.

        If the present interval is wide, the terms are few or scattered and have no reliable standard error.
        """
        limited_by = self.limited_by if self.causes is None else self.causes.main_of(interval)
        point = self.point if is_narrow(self.interval) else dataclasses.replace(self.point, sampling_error=math.nan)
        return dataclasses.replace(self, interval=interval, limited_by=limited_by, point=point)

    def with_value(self, value: float, sampling_error: float) -> TwoSidedEstimate:
        """Return the estimate with another value between its bounds, moved into the interval."""
        bounds = Interval(min(self.plug_in, self.decoded), max(self.plug_in, self.decoded))
        return dataclasses.replace(self, point=Point(Interval(value, value), sampling_error, bounds))


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

    def causes(self, lower: float, upper: float, dimensions: Interval) -> WidthCauses:
        """Return the causes of the width of an interval, from the mean bounds and the part of omitted dimensions."""
        cause = "decoder" if self.own_share <= _LARGEST_SHARE else "draws or decoder"
        return WidthCauses(Interval(lower, upper), cause, abs(self.plug_in.bias), dimensions)


def information_estimate(
    bounds: Bounds, upper_end: float, ceiling: float, dimension_loss: float, lent: Interval | None = None
) -> TwoSidedEstimate:
    """Estimate an information from the plug-in bound above and a decoder bound below.

    Parameters
    ----------
    upper_end : float
        Upper end of the interval in the dimensions that were kept; `dimension_loss` is added.
    ceiling : float
        Largest possible value of the information.
    lent : Interval, optional
        The ends that other layers may take over, in the dimensions that were kept.
    """
    plug_in, decoder = bounds.plug_in, bounds.decoder
    decoded = decoder.mean
    interval = _information_interval(Interval(decoder.end, upper_end), ceiling, dimension_loss)
    causes = bounds.causes(decoded.value, plug_in.value, Interval(upper_end, upper_end + dimension_loss))
    largest = max(plug_in.value, min(plug_in.value + dimension_loss, ceiling))
    corrected = Interval(decoded.value + decoder.cost, plug_in.value - plug_in.bias / 2)
    point = Point(corrected, bounds.sampling_error, Interval(decoded.value, largest))
    return TwoSidedEstimate(
        interval=interval,
        point=point,
        plug_in=largest,
        plug_in_error=plug_in.standard_error,
        decoded=decoded.value,
        decoded_error=decoded.standard_error,
        decoder=decoder.decoder,
        limited_by=causes.main_of(interval),
        separated_lower=decoder.separated_end,
        lent=None if lent is None else _information_interval(lent, ceiling, dimension_loss),
        causes=causes,
    )


def entropy_estimate(bounds: Bounds, ends: Interval, dimension_loss: float) -> TwoSidedEstimate:
    """Estimate an entropy from the plug-in bound below and a decoder bound above.

    Parameters
    ----------
    ends : Interval
        Ends of the interval in all dimensions.
    dimension_loss : float
        Amount by which the omitted dimensions raise the decoder bound.
    """
    plug_in, decoder = bounds.plug_in, bounds.decoder
    decoded = decoder.mean
    interval = _without_rounding(ends)
    largest = decoded.value + dimension_loss
    corrected = Interval(plug_in.value - plug_in.bias / 2, decoded.value - decoder.cost)
    point = Point(corrected, bounds.sampling_error, Interval(plug_in.value, largest))
    causes = bounds.causes(plug_in.value, decoded.value, Interval(ends.upper - dimension_loss, ends.upper))
    return TwoSidedEstimate(
        interval=interval,
        point=point,
        plug_in=plug_in.value,
        plug_in_error=plug_in.standard_error,
        decoded=largest,
        decoded_error=decoded.standard_error,
        decoder=decoder.decoder,
        limited_by=causes.main_of(interval),
    )


def exact_estimate(
    channel: ChannelEstimate, ceiling: float, dimension_loss: float, lent: Interval | None = None
) -> TwoSidedEstimate:
    """Estimate an information of a known channel: both bounds are the mean, the upper bound plus `dimension_loss`.

    `lent` are the ends that other layers may take over, in the dimensions that were kept.
    """
    interval = _exact_interval(channel.interval, ceiling, dimension_loss)
    largest = max(channel.mean, min(channel.mean + dimension_loss, ceiling))
    mean, upper_end = Interval(channel.mean, channel.mean), channel.interval.upper
    point = Point(mean, channel.standard_error, Interval(channel.mean, largest))
    causes = WidthCauses(mean, "queries", dimensions=Interval(upper_end, upper_end + dimension_loss))
    return TwoSidedEstimate(
        interval=interval,
        point=point,
        plug_in=largest,
        plug_in_error=channel.standard_error,
        decoded=channel.mean,
        decoded_error=channel.standard_error,
        decoder="exact",
        limited_by=causes.main_of(interval),
        separated_lower=channel.separated_lower,
        lent=None if lent is None else _exact_interval(lent, ceiling, dimension_loss),
        causes=causes,
    )


def _exact_interval(ends: Interval, ceiling: float, dimension_loss: float) -> Interval:
    return _without_rounding(Interval(ends.lower, min(ends.upper + dimension_loss, ceiling)))


def _information_interval(ends: Interval, ceiling: float, dimension_loss: float) -> Interval:
    upper = ends.upper + dimension_loss
    interval = Interval(max(ends.lower, 0.0), 0.0 if -_ROUNDING < upper < 0 else upper)
    return _without_rounding(interval.clipped(-math.inf, ceiling))


def _without_rounding(interval: Interval) -> Interval:
    """Return the interval with ends that do not cross through rounding, and 0.0 in place of -0.0."""
    lower = interval.upper if 0 < interval.lower - interval.upper < _ROUNDING else interval.lower
    return Interval(lower + 0.0, interval.upper + 0.0)
