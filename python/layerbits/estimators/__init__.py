"""Estimators of the information of layers, with confidence intervals."""

from layerbits.estimators.all_layers import layer_information, measure_layers
from layerbits.estimators.between_layers import information_between_layers
from layerbits.estimators.problem import Problem
from layerbits.estimators.settings import MeasurementSettings
from layerbits.estimators.sigma_profiles import SigmaProfile, SigmaRow, sigma_profile

__all__ = [
    "MeasurementSettings",
    "Problem",
    "SigmaProfile",
    "SigmaRow",
    "information_between_layers",
    "layer_information",
    "measure_layers",
    "sigma_profile",
]
