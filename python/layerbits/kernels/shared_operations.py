"""Operations on the CPU that several processes share, with the bits of one process.

Each of k processes computes the distances of every k-th run of rows to all later rows. Counts and maxima are exact, so
the processes combine them to the bits of one process. On a CUDA device every process computes all pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from layerbits.kernels.native_interface import Mixture
from layerbits.kernels.operations import distance_histogram, largest_distance
from layerbits.kernels.processes import Processes


def choose_method(points: Tensor, centers: Tensor, sigma: Tensor, weights: Tensor | None) -> str:
    """Return the method, "dense" or "pruned", by which "auto" sums at these points, in more than two dimensions."""
    from layerbits.kernels.cpu_operations import CpuOperations  # at first use: importing needs a native module

    return CpuOperations().choose_method(Mixture(points, centers, sigma.item(), weights, None, None))


def shared_distance_histogram(
    points: Tensor, edges: Tensor, *, labels: Tensor | None, metric: str, processes: Processes
) -> Tensor:
    """Return the counts of `distance_histogram`."""
    from layerbits.kernels.cpu_operations import CpuOperations

    if processes.size == 1 or points.device.type != "cpu":
        return distance_histogram(points, edges, labels=labels, metric=metric)

    def count() -> Tensor:
        counts = torch.empty((edges.numel() + 1, 2), dtype=torch.int64)
        share = processes.rank, processes.size
        CpuOperations().distance_histogram(points, edges, counts, labels, metric, share)
        return counts

    return torch.stack(processes.gather("counts of distances", count)).sum(0)


def shared_largest_distance(points: Tensor, *, metric: str, processes: Processes) -> float:
    """Return `largest_distance`."""
    from layerbits.kernels.cpu_operations import CpuOperations

    if processes.size == 1 or points.device.type != "cpu":
        return largest_distance(points, metric=metric)
    share = processes.rank, processes.size
    return max(processes.gather("largest distance", lambda: CpuOperations().largest_distance(points, metric, share)))
