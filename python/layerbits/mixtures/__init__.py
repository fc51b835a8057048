"""Gaussian mixtures: density, entropy, information, bounds, and the reduction of dimension."""

from layerbits.mixtures.gaussian_mixture import (
    mixture_entropy,
    mixture_entropy_bounds,
    mixture_information,
    mixture_log_density,
    noise_entropy,
    pairwise_information_bounds,
)
from layerbits.mixtures.subspaces import NEGLIGIBLE, Subspace, affine_coordinates, fit_subspace

__all__ = [
    "NEGLIGIBLE",
    "Subspace",
    "affine_coordinates",
    "fit_subspace",
    "mixture_entropy",
    "mixture_entropy_bounds",
    "mixture_information",
    "mixture_log_density",
    "noise_entropy",
    "pairwise_information_bounds",
]
