"""The mean over random frames of the information of their slices, with an interval that includes their sampling.

Let I_j be the information of slice j, and L_j <= I_j <= U_j simultaneous ends. The frames are independent, so the I_j
are independent, with the mean SI_k. A betting bound for SI_k rises with its terms, so the bound of the L_j is at most
that of the I_j. The L_j of earlier frames set the stakes of later ones. All slices share their passes, but the I_j of
later frames are independent of those L_j (docs/theory.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from layerbits._base import Doubles
from layerbits.estimators.two_sided_estimate import Point, TwoSidedEstimate
from layerbits.statistics import Interval, lower_mean_bound, upper_mean_bound

# Share of the risk that goes to the ends of the slices; the rest is for the sampling of the frames, whose part of the
# width is proportional to the logarithm of its risk.
SLICE_SHARE = 0.25

# The first 1/16 of the frames, at least two, set the first stake; the others form this number of passes.
_PILOT_SHARE, _PASSES = 16, 4


def frame_mean(estimates: Sequence[TwoSidedEstimate], ceiling: float, risk: float) -> TwoSidedEstimate:
    """Estimate the mean over frames from estimates of the slices of independent frames.

    Parameters
    ----------
    estimates : sequence of TwoSidedEstimate
        One for each frame. All lower ends hold together, except with a probability that the caller has fixed, and so do
        all upper ends.
    ceiling : float
        Largest possible information of a slice, in nats.
    risk : float
        Probability, due to the sampling of the frames, with which each end may be wrong.
    """
    lower_ends = np.array([min(max(estimate.interval.lower, 0.0), ceiling) for estimate in estimates])
    upper_ends = np.array([min(max(estimate.interval.upper, 0.0), ceiling) for estimate in estimates])
    lower_passes, upper_passes = _passes(lower_ends), _passes(upper_ends)
    # A smaller upper limit allows larger stakes, and the bound is at most this limit. The pilot, which sets the limit,
    # does not enter the bound.
    largest = min(ceiling, 2 * float(lower_passes[0].max()) + ceiling / len(estimates))
    lower = lower_mean_bound(lower_passes, lower_limit=0.0, upper_limit=largest, risk=risk)
    upper = upper_mean_bound(upper_passes, lower_limit=0.0, upper_limit=ceiling, risk=risk)
    interval = Interval(lower, upper)
    values = np.array([estimate.value for estimate in estimates])
    plug_in, decoded = (_mean([getattr(e, name) for e in estimates]) for name in ("plug_in", "decoded"))
    corrected = [estimate.point.corrected for estimate in estimates]
    of_slices = _mean([estimate.point.sampling_error for estimate in estimates])
    point = Point(
        Interval(_mean([ends.lower for ends in corrected]), _mean([ends.upper for ends in corrected])),
        math.hypot(float(values.std(ddof=1)) / math.sqrt(len(values)), of_slices),
        Interval(decoded, plug_in),
    )
    return TwoSidedEstimate(
        interval=interval,
        point=point,
        plug_in=plug_in,
        plug_in_error=_mean([estimate.plug_in_error for estimate in estimates]),
        decoded=decoded,
        decoded_error=_mean([estimate.decoded_error for estimate in estimates]),
        decoder=Counter(estimate.decoder for estimate in estimates).most_common(1)[0][0],
        limited_by=_main_cause(estimates, float((upper_ends - lower_ends).mean()), interval),
    )


def _passes(ends: Doubles) -> list[Doubles]:
    pilot = max(2, len(ends) // _PILOT_SHARE)
    return [ends[:pilot], *np.array_split(ends[pilot:], min(_PASSES, len(ends) - pilot))]


def _main_cause(estimates: Sequence[TwoSidedEstimate], width_of_slices: float, interval: Interval) -> str:
    """Return the cause of the largest part of the width; the sampling of the frames is called "frames"."""
    if 2 * width_of_slices <= interval.upper - interval.lower:
        return "frames"
    return Counter(estimate.limited_by for estimate in estimates if estimate.limited_by).most_common(1)[0][0]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
