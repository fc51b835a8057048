"""Decide whether the CUDA kernels can prune pairs, and order the rows for pruning; needs no device."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from layerbits.kernels.native_interface import Mixture
from layerbits.kernels.spatial_order import spatial_order

PRUNED_DIMS = 32  # kPrunedDims of csrc/cuda/cuda_operations.h
# A trial of pruning is worth its time if all pairs take more instructions: 40 ms of an H200 at 3/4 of its peak.
TRIAL_INSTRUCTIONS = 1e12
_TRIAL_STEP = 10  # a trial takes every tenth row of both sides


@dataclasses.dataclass(frozen=True)
class PruningOrders:
    """Orders from `spatial_order` of the m points and the n centers: int64 of shape (m,) and (n,)."""

    points: Tensor
    centers: Tensor


def can_prune(mixture: Mixture) -> bool:
    """Return whether the CUDA kernels can prune pairs; False for wrong shapes, which the core refuses."""
    points, centers = mixture.points, mixture.centers
    return (
        mixture.point_offsets is None
        and points.ndim == centers.ndim == 2
        and bool(points.numel() and centers.numel())
        and points.shape[1] == centers.shape[1] <= PRUNED_DIMS
    )


def is_dense_cheap(mixture: Mixture) -> bool:
    """Return whether all pairs take too few instructions for a trial of pruning."""
    pairs = len(mixture.points) * len(mixture.centers)
    return pairs * (2 * mixture.points.shape[1] + 6) < TRIAL_INSTRUCTIONS


def orders_of(mixture: Mixture) -> PruningOrders:
    """Return the orders of the points and of the centers."""
    return PruningOrders(spatial_order(mixture.points), spatial_order(mixture.centers))


def every_tenth(mixture: Mixture) -> Mixture:
    """Return every tenth point and center, with equal weights."""
    return Mixture(mixture.points[::_TRIAL_STEP], mixture.centers[::_TRIAL_STEP], mixture.sigma)
