"""Intervals of every information of a channel whose densities are known, from the surprisals at its queries."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from layerbits._base import Doubles
from layerbits.statistics import (
    QUANTITIES,
    ByCondition,
    InformationBet,
    Interval,
    JackknifeMean,
    point_value,
    split_passes,
    unseen_probability,
)


@dataclasses.dataclass(frozen=True)
class ChannelEstimate:
    """An estimate of an information of a known channel, in nats.

    Attributes
    ----------
    mean, standard_error : float
        Mean of the terms, and its standard error.
    interval : Interval
        Confidence interval of the information.
    separated_lower : float
        For I(X;T), the lower end of the bet if its queries separate all inputs; NaN for the other quantities.
    """

    mean: float
    standard_error: float
    interval: Interval
    separated_lower: float = math.nan

    @property
    def point(self) -> tuple[float, float]:
        """The mean, moved into the interval, and its standard error; for a wide interval, its midpoint and NaN."""
        return point_value(self.mean, self.standard_error, Interval(self.mean, self.mean), self.interval)


def channel_estimates(
    surprisals: ByCondition[Doubles],
    certain_bounds: Interval,
    ceilings: Mapping[str, float],
    largest_terms: Mapping[str, float],
    risk: float,
) -> dict[str, ChannelEstimate]:
    """Estimate every information that has a ceiling, from independent queries of inputs of equal weights.

    Parameters
    ----------
    surprisals : ByCondition of arrays of shape (n, q)
        log p(t|x) - log p(t|condition) at q >= 2 queries of each input, in nats.
    certain_bounds : Interval
        Bounds of I(X;T) that hold with probability 1, in nats.
    ceilings, largest_terms : mapping of str to float
        Largest value and largest term of each information, in nats.
    risk : float
        Probability with which each end of an interval may be wrong.

    Returns
    -------
    dict of str to ChannelEstimate
        The estimates by name of the quantity.
    """
    estimates = {}
    for quantity in QUANTITIES:
        name = quantity.name
        if quantity.subtrahend is None or name not in ceilings:
            continue
        terms = surprisals[quantity.minuend] - surprisals[quantity.subtrahend]
        pilot, *passes = split_passes(terms)
        prior_weight = unseen_probability(sum(map(len, passes)), risk)
        bet = InformationBet(ceilings[name], largest_terms[name], risk, prior_weight, fixed_count=True)
        interval = bet.interval([bet.pass_of(pass_terms[None]) for pass_terms in (pilot, *passes)])
        separated_lower = math.nan
        if name == "I(X;T)":
            interval = clip_to_bounds(interval, certain_bounds, ceilings[name])
            separated = [np.full_like(pass_terms, ceilings[name]) for pass_terms in (pilot, *passes)]
            separated_lower = bet.interval([bet.pass_of(pass_terms[None]) for pass_terms in separated]).lower
        mean = JackknifeMean.of_terms(terms)
        estimates[name] = ChannelEstimate(mean.value, mean.standard_error, interval, separated_lower)
    return estimates


def clip_to_bounds(interval: Interval, certain_bounds: Interval, ceiling: float) -> Interval:
    """Return an interval of I(X;T) with both ends moved into bounds that hold with probability 1."""
    return interval.clipped(certain_bounds.lower, certain_bounds.upper).clipped(0.0, ceiling)
