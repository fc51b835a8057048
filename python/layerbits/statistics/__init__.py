"""Confidence bounds for means, class labels, and the limits that entropies set on information."""

from layerbits.statistics.classes import ceilings, class_numbers, largest_terms
from layerbits.statistics.interval import Interval
from layerbits.statistics.jackknife import JackknifeMean
from layerbits.statistics.mean_bounds import (
    channel_interval,
    in_passes,
    lower_mean_bound,
    rare_share,
    secured,
    student_margin,
    upper_mean_bound,
)
from layerbits.statistics.quantities import QUANTITIES, ByCondition, Condition, Quantity

__all__ = [
    "QUANTITIES",
    "ByCondition",
    "Condition",
    "Interval",
    "JackknifeMean",
    "Quantity",
    "ceilings",
    "channel_interval",
    "class_numbers",
    "in_passes",
    "largest_terms",
    "lower_mean_bound",
    "rare_share",
    "secured",
    "student_margin",
    "upper_mean_bound",
]
