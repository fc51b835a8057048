"""Gaussian mixtures and known channels: density, entropy, information, bounds, and reduction of dimension."""

from layerbits.mixtures.channel_estimates import ChannelEstimate
from layerbits.mixtures.common_noise import common_noise_surprisals
from layerbits.mixtures.density import mixture_log_density, noise_entropy
from layerbits.mixtures.dropout_channel import DropoutChannel
from layerbits.mixtures.dropout_signals import means_of, scales_of
from layerbits.mixtures.information import mixture_entropy, mixture_information
from layerbits.mixtures.known_channel import KnownChannel
from layerbits.mixtures.large_subspaces import as_points, coordinates_in_blocks, with_equal_distances
from layerbits.mixtures.line_channel import line_information
from layerbits.mixtures.mean_subspaces import confusion_of_draws, mean_subspace, project
from layerbits.mixtures.pairwise_bounds import mixture_entropy_bounds
from layerbits.mixtures.subspaces import NEGLIGIBLE, Subspace, affine_coordinates, fit_subspace, resolved_coordinates

__all__ = [
    "NEGLIGIBLE",
    "ChannelEstimate",
    "DropoutChannel",
    "KnownChannel",
    "Subspace",
    "affine_coordinates",
    "as_points",
    "common_noise_surprisals",
    "confusion_of_draws",
    "coordinates_in_blocks",
    "fit_subspace",
    "line_information",
    "mean_subspace",
    "means_of",
    "mixture_entropy",
    "mixture_entropy_bounds",
    "mixture_information",
    "mixture_log_density",
    "noise_entropy",
    "project",
    "resolved_coordinates",
    "scales_of",
    "with_equal_distances",
]
