"""Estimators of the information of layers, with confidence intervals."""

from layerbits.estimators.all_layers import check_options, layer_information
from layerbits.estimators.between_layers import information_between_layers
from layerbits.estimators.settings import MeasurementSettings
from layerbits.estimators.sigma_profiles import SigmaProfile, SigmaRow, sigma_profile

__all__ = [
    "MeasurementSettings",
    "SigmaProfile",
    "SigmaRow",
    "check_options",
    "information_between_layers",
    "layer_information",
    "sigma_profile",
]
