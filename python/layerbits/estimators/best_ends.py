"""`best_ends`: the better end of two estimates of a quantity on either side."""

from __future__ import annotations

import dataclasses

from layerbits.estimators.two_sided_estimate import TwoSidedEstimate
from layerbits.statistics import Interval


def best_ends(first: TwoSidedEstimate, second: TwoSidedEstimate, *, is_entropy: bool) -> TwoSidedEstimate:
    """Return the estimate with the larger lower end and the smaller upper end of two estimates of one quantity.

    The risk is the sum of the risks of both. The bound on either side comes from the estimate that gives the end, and
    the value from the estimate with the narrower interval.
    """
    lower = max(first, second, key=lambda estimate: estimate.interval.lower)
    upper = min(first, second, key=lambda estimate: estimate.interval.upper)
    narrower = min(first, second, key=lambda estimate: estimate.interval.half_width)
    decoded, plug_in = (upper, lower) if is_entropy else (lower, upper)
    lent = None
    if first.lent is not None and second.lent is not None:
        lent = _intersection(first.lent, second.lent)
    return dataclasses.replace(
        narrower.with_interval(_intersection(first.interval, second.interval)),
        plug_in=plug_in.plug_in,
        plug_in_error=plug_in.plug_in_error,
        decoded=decoded.decoded,
        decoded_error=decoded.decoded_error,
        decoder=decoded.decoder,
        tail_assumed=decoded.tail_assumed,
        separated_lower=lower.separated_lower,
        lent=lent,
    )


def _intersection(first: Interval, second: Interval) -> Interval:
    return Interval(max(first.lower, second.lower), min(first.upper, second.upper))
