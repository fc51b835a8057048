"""Point values in confidence intervals, and their standard errors."""

from __future__ import annotations

import math

from layerbits.statistics.interval import Interval

# A wider interval (nats) has its midpoint as value, and no standard error.
_WIDEST = 0.5


def is_narrow(interval: Interval) -> bool:
    """Return whether an interval is narrow enough for a value with a standard error."""
    return 0 <= interval.upper - interval.lower <= _WIDEST


def point_value(value: float, sampling_error: float, bounds: Interval, interval: Interval) -> tuple[float, float]:
    """Return a point value in a confidence interval, and its standard error, in nats.

    Parameters
    ----------
    value : float
        An estimate between two bounds. An end of `interval` replaces a value beyond it.
    sampling_error : float
        Standard error of `value` as an estimate of its own expectation; NaN if it is not known.
    bounds : Interval
        The two bounds, which on average hold the true value between them.
    interval : Interval
        Confidence interval of the true value.

    Returns
    -------
    value, standard_error : float
        If the interval is empty or wider than 0.5 nats, or the sampling error is not known, its midpoint and NaN; with
        an infinite end, the value moved into the interval and NaN.

    Notes
    -----
    Where the true value lies between the bounds is not known. The standard error is the root mean square of the
    sampling error and of the distance of the value from a point that is uniform between the bounds (JCGM 100:2008,
    Guide to the Expression of Uncertainty in Measurement, 4.3.7). A true value between the bounds is at most twice this
    distance away. Proof: docs/theory.md.
    """
    is_finite = math.isfinite(interval.upper - interval.lower)
    if is_finite and (math.isnan(sampling_error) or not is_narrow(interval)):
        return (interval.lower + interval.upper) / 2, math.nan
    value = min(max(value, interval.lower), interval.upper) + 0.0  # -0.0 becomes 0.0
    if not is_finite:
        return value, math.nan
    bounds = bounds.clipped(interval.lower, interval.upper)
    below, above = max(0.0, value - bounds.lower), max(0.0, bounds.upper - value)
    if below + above == 0:
        return value, sampling_error
    mean_square = (below**3 + above**3) / (3 * (below + above))
    return value, math.hypot(sampling_error, math.sqrt(mean_square))
