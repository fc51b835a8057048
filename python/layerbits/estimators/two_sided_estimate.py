"""A quantity between a plug-in bound and a decoder bound: point estimate, interval, and cause of the interval's width.

The point estimate is the mean of two numbers: the decoder bound without the cost of its prior, and the plug-in bound
less half of its first-order bias. The errors of the two bounds have first-order terms of opposite signs; in many
dimensions the error of the plug-in is the larger one. The mean of the plain bounds is a little better on scalar
networks, and worse in more dimensions (`python -m benchmarks.topics.bound_errors`; docs/theory.md has the table).
"""

from __future__ import annotations

import dataclasses
import math

from layerbits.estimators.decoder_bound import DecoderBound
from layerbits.mixtures import ChannelEstimate
from layerbits.statistics import Interval, JackknifeMean

# Ends of an interval may cross by this much through rounding (nats).
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class TwoSidedEstimate:
    """A quantity of a layer, in nats.

    The functions of this module return entropies less the entropy of the noise.

    Attributes
    ----------
    value, standard_error : float
        Point estimate and its standard error.
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
        Main cause of the interval's width: ``"queries"``, ``"draws"``, ``"decoder"`` or ``"dimensions"``.
    tail_assumed : bool
        Whether the upper end of an entropy assumes how far signals may lie out.
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
    tail_assumed: bool = False

    def shifted(self, constant: float) -> TwoSidedEstimate:
        """Return the estimate of the quantity plus a constant."""
        return dataclasses.replace(
            self,
            value=self.value + constant,
            interval=self.interval.shifted(constant),
            plug_in=self.plug_in + constant,
            decoded=self.decoded + constant,
        )


def information_estimate(
    plug_in: JackknifeMean, decoder_bound: DecoderBound, upper_end: float, ceiling: float, dimension_loss: float
) -> TwoSidedEstimate:
    """Estimate an information from the plug-in bound above and a decoder bound below.

    Parameters
    ----------
    upper_end : float
        Upper end of the interval in the dimensions that were kept; `dimension_loss` is added.
    ceiling : float
        Largest possible value of the information.
    """
    decoded = decoder_bound.mean
    interval = Interval(max(decoder_bound.end, 0.0), upper_end + dimension_loss).clipped(-math.inf, ceiling)
    interval = _without_rounding(interval)
    gap = max(0.0, plug_in.value - decoded.value)
    by_draws = min(abs(plug_in.bias), gap)
    value = (plug_in.value - plug_in.bias / 2 + decoded.value + decoder_bound.cost) / 2
    return TwoSidedEstimate(
        value=_moved_into(interval, value),
        standard_error=(plug_in.standard_error + decoded.standard_error) / 2,
        interval=interval,
        plug_in=max(plug_in.value, min(plug_in.value + dimension_loss, ceiling)),
        plug_in_error=plug_in.standard_error,
        decoded=decoded.value,
        decoded_error=decoded.standard_error,
        decoder=decoder_bound.decoder,
        limited_by=_main_cause(interval, by_draws, gap - by_draws, dimension_loss),
    )


def entropy_estimate(
    plug_in: JackknifeMean, decoder_bound: DecoderBound, lower_end: float, dimension_loss: float
) -> TwoSidedEstimate:
    """Estimate an entropy from the plug-in bound below and a decoder bound above.

    Parameters
    ----------
    lower_end : float
        Lower end of the interval; the upper end is that of the decoder bound plus `dimension_loss`.
    """
    decoded = decoder_bound.mean
    interval = _without_rounding(Interval(lower_end, decoder_bound.end + dimension_loss))
    gap = max(0.0, decoded.value - plug_in.value)
    by_draws = min(abs(plug_in.bias), gap)
    value = (plug_in.value - plug_in.bias / 2 + decoded.value - decoder_bound.cost) / 2
    return TwoSidedEstimate(
        value=_moved_into(interval, value),
        standard_error=(plug_in.standard_error + decoded.standard_error) / 2,
        interval=interval,
        plug_in=plug_in.value,
        plug_in_error=plug_in.standard_error,
        decoded=decoded.value + dimension_loss,
        decoded_error=decoded.standard_error,
        decoder=decoder_bound.decoder,
        limited_by=_main_cause(interval, by_draws, gap - by_draws, dimension_loss),
    )


def exact_estimate(channel: ChannelEstimate, ceiling: float, dimension_loss: float) -> TwoSidedEstimate:
    """Estimate an information of a known channel: both bounds are its mean, the upper bound plus `dimension_loss`."""
    interval = Interval(channel.interval.lower, min(channel.interval.upper + dimension_loss, ceiling))
    interval = _without_rounding(interval)
    return TwoSidedEstimate(
        value=_moved_into(interval, channel.mean),
        standard_error=channel.standard_error,
        interval=interval,
        plug_in=max(channel.mean, min(channel.mean + dimension_loss, ceiling)),
        plug_in_error=channel.standard_error,
        decoded=channel.mean,
        decoded_error=channel.standard_error,
        decoder="exact",
        limited_by=_main_cause(interval, 0.0, 0.0, dimension_loss),
    )


def _without_rounding(interval: Interval) -> Interval:
    """Return the interval with ends that do not cross through rounding, and 0.0 in place of -0.0."""
    lower = interval.upper if 0 < interval.lower - interval.upper < _ROUNDING else interval.lower
    return Interval(lower + 0.0, interval.upper + 0.0)


def _moved_into(interval: Interval, value: float) -> float:
    return min(max(value, interval.lower), interval.upper) + 0.0  # -0.0 becomes 0.0


def _main_cause(interval: Interval, by_draws: float, by_decoder: float, dimension_loss: float) -> str:
    """Return the cause of the largest part of the interval's width; queries cause the remaining part."""
    width = interval.upper - interval.lower
    causes = {
        "queries": width - by_draws - by_decoder - dimension_loss,
        "draws": by_draws,
        "decoder": by_decoder,
        "dimensions": dimension_loss,
    }
    return max(causes, key=causes.__getitem__)
