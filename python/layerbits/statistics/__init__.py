"""Confidence bounds for means and information, the jackknife, quantities and their limits, and class numbers."""

from layerbits.statistics.information_bounds import (
    BetPass,
    InformationBet,
    mix_with_prior,
    split_passes,
    unseen_probability,
)
from layerbits.statistics.interval import Interval
from layerbits.statistics.jackknife import JackknifeMean
from layerbits.statistics.labels import class_labels, class_numbers, label_array
from layerbits.statistics.limits import ceilings, largest_terms
from layerbits.statistics.mean_bounds import lower_mean_bound, student_margin, upper_mean_bound
from layerbits.statistics.point_values import is_narrow, point_value
from layerbits.statistics.quantities import QUANTITIES, ByCondition, Condition, Quantity

__all__ = [
    "QUANTITIES",
    "BetPass",
    "ByCondition",
    "Condition",
    "InformationBet",
    "Interval",
    "JackknifeMean",
    "Quantity",
    "ceilings",
    "class_labels",
    "class_numbers",
    "is_narrow",
    "label_array",
    "largest_terms",
    "lower_mean_bound",
    "mix_with_prior",
    "point_value",
    "split_passes",
    "student_margin",
    "unseen_probability",
    "upper_mean_bound",
]
