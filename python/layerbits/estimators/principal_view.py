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

# Rows of the largest Gram matrix whose eigenvectors are computed; larger ones take more than a few seconds.
LARGEST_GRAM = 4096

# Values of a block in float64: 4 MiB.
_BLOCK_VALUES = 2**19


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
    """Return coordinates of signals (..., d), with the squared distance to the subspace as a last coordinate.

    The squared distance is a difference of two sums, each of which may be 1e7 sigma^2 in a wide layer. In float32 its
    error would be nats, so blocks of rows are computed in float64.
    """
    rows = signals.reshape(-1, signals.shape[-1])
    dtype, blocks = noise.whiten(rows[:1]).dtype, []
    for block in torch.split(rows, max(1, _BLOCK_VALUES // max(1, rows.shape[1]))):
        coordinates, squared_distances = subspace.to(torch.float64).coordinates(noise.whiten(block.double()))
        blocks.append(torch.cat([coordinates, squared_distances[..., None]], -1).to(dtype))
    return torch.cat(blocks).view(*signals.shape[:-1], -1)
