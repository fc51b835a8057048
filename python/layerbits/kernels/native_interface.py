"""The operations that every back end offers on tensors, as a protocol, and the dataclasses of their arguments.

The arguments have the names of csrc/api/operations.h, which documents their values. The native modules check types,
dtypes, devices and shapes, and raise TypeError or ValueError with the name of the argument. Tensors here require no
gradient. An operation fills its output tensors, and returns None or a number.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Points, and centers with one sigma. With offsets, sums at the points of a group are over the group's centers.

    Attributes
    ----------
    points, centers : Tensor of shape (m, d) and (n, d)
    sigma : float
    weights : Tensor of shape (n,), optional
        All one by default.
    point_offsets, center_offsets : int64 Tensor of shape (groups + 1,) on the CPU, optional
    """

    points: Tensor
    centers: Tensor
    sigma: float
    weights: Tensor | None = None
    point_offsets: Tensor | None = None
    center_offsets: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The `method` of a log-sum-exp, as in `operations.log_sum_exp_isotropic`, and the error tolerance in nats."""

    method: str
    tolerance: float | None


@dataclasses.dataclass(frozen=True)
class Gradient:
    """Inputs and outputs of a gradient of log_sum_exp_isotropic; an output that is None is not computed.

    Attributes
    ----------
    log_sum, upstream : float64 Tensor of shape (m,)
        The log-sums, and the derivative of the loss by each log-sum.
    d_points, d_centers, d_weights : Tensor, optional
        Outputs of the shapes of the arguments.
    d_sigma : float64 Tensor of shape (m,), optional
        Output: the contribution of each row to the derivative by sigma.
    """

    log_sum: Tensor
    upstream: Tensor
    d_points: Tensor | None
    d_centers: Tensor | None
    d_weights: Tensor | None
    d_sigma: Tensor | None


class NativeOperations(Protocol):
    """The operations of one back end; an adapter adds the number of threads, or the stream and scratch memory."""

    def log_sum_exp_isotropic(self, mixture: Mixture, accuracy: Accuracy, log_sum: Tensor) -> None:
        """Compute log sum_j w_j exp(-|points_i - centers_j|^2 / (2 sigma^2)) into the float64 (m,) `log_sum`."""

    def log_sum_exp_isotropic_gradient(self, mixture: Mixture, gradient: Gradient) -> None:
        """Compute those gradients of sum_i upstream_i log_sum_i for which `gradient` has an output tensor."""

    def log_sum_exp_full(
        self, points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor, log_sum: Tensor
    ) -> None:
        """Compute log sum_j exp(offsets_j - |factors_j (points_i - centers_j)|^2 / 2) into `log_sum`, float64 (m,)."""

    def log_sum_exp_diagonal(
        self, points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor, log_sum: Tensor
    ) -> None:
        """Compute the same with `factors` (n, d): each factor multiplies the difference of its unit alone."""

    def distance_histogram(
        self, points: Tensor, edges: Tensor, counts: Tensor, labels: Tensor | None, metric: str
    ) -> None:
        """Count pairs of rows by distance and equality of labels into the int64 (bins + 2, 2) `counts`."""

    def largest_distance(self, points: Tensor, metric: str) -> float:
        """Return the largest distance of two rows; 0 for fewer than two rows."""


def operations_for(tensor: Tensor) -> NativeOperations:
    """Return the operations of the back end of a tensor's device; BackendError if it is not built."""
    # The adapters are imported at first use: importing layerbits must not need a native module, nor start CUDA.
    if tensor.device.type == "cuda":
        from layerbits.kernels.cuda_operations import CudaOperations

        return CudaOperations()
    from layerbits.kernels.cpu_operations import CpuOperations

    return CpuOperations()
