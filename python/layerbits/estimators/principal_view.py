"""`principal_view`: the view in which a layer behind noise that exceeds the budget is recorded."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from layerbits.estimators.layer_groups import PROBING_PASSES
from layerbits.mixtures import Subspace, as_points, confusion_of_draws, fit_subspace
from layerbits.networks import GaussianNoise, View

# Largest number of dimensions of the subspace.
MAX_DIMENSIONS = 256

# Rows of the largest Gram matrix whose eigenvectors are computed; larger ones take more than some seconds.
LARGEST_GRAM = 4096


def principal_view(noise: GaussianNoise, probe: Tensor) -> View:
    """Return a view on the principal axes of signals (n, passes, d) of the probing passes."""
    centers = probe.flatten(0, 1)
    rows = noise.whiten(as_points(centers[:: math.ceil(2 * len(centers) / LARGEST_GRAM)]))
    subspace = fit_subspace(rows, noise.whitened_sigma, max_dimensions=MAX_DIMENSIONS, max_cost=math.inf)
    return partial(view_values, noise, subspace)


def means_suffice(points: Tensor, sigma: float, fitted: int, negligible: float) -> bool:
    """Return whether a layer is wide, and its draws so far apart that all units would give no tighter bounds.

    `negligible` is an information, in nats, that may be neglected; `points` are (n, r, d), of which the first `fitted`
    draws choose dimensions.
    """
    n, _, dim = points.shape
    is_wide_sample = n > 1 and fitted >= PROBING_PASSES and min(n * fitted, dim) > MAX_DIMENSIONS
    return is_wide_sample and confusion_of_draws(points, sigma, negligible=negligible) <= negligible


def view_values(noise: GaussianNoise, subspace: Subspace, signals: Tensor) -> Tensor:
    """Return coordinates of signals (..., d), with the squared distance to the subspace as a last coordinate."""
    whitened = noise.whiten(signals)
    # A CUDA device may round float32 products to ten bits (TF32), an error of nats in the distance.
    dtype = torch.float64 if whitened.is_cuda else whitened.dtype
    coordinates, squared_distances = subspace.to(dtype).coordinates(whitened)
    return torch.cat([coordinates, squared_distances[..., None].to(coordinates.dtype)], -1)
