"""The adapter of the native module of the CPU, which adds the number of threads to every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from layerbits.kernels.back_ends import cpu
from layerbits.kernels.cpu_threads import threads
from layerbits.kernels.native_interface import Accuracy, Gradient, Mixture

if TYPE_CHECKING:  # mypy reads _cpu.pyi; at run time a missing module is a BackendError
    from layerbits.kernels import _cpu
else:
    _cpu = cpu()


class CpuOperations:
    """The operations on the CPU; see NativeOperations."""

    def log_sum_exp_isotropic(self, mixture: Mixture, accuracy: Accuracy, log_sum: Tensor) -> None:
        """Compute the log-sums by the method of `accuracy`."""
        _cpu.log_sum_exp_isotropic(
            mixture.points,
            mixture.centers,
            mixture.sigma,
            log_sum,
            weights=mixture.weights,
            point_offsets=mixture.point_offsets,
            center_offsets=mixture.center_offsets,
            method=accuracy.method,
            tolerance=accuracy.tolerance,
            threads=threads(),
        )

    def choose_method(self, mixture: Mixture) -> str:
        """Return the method, "dense" or "pruned", that "auto" chooses in more than two dimensions."""
        return _cpu.choose_method(
            mixture.points, mixture.centers, mixture.sigma, weights=mixture.weights, threads=threads()
        )

    def log_sum_exp_isotropic_gradient(self, mixture: Mixture, gradient: Gradient) -> None:
        """Compute the gradients from all pairs."""
        _cpu.log_sum_exp_isotropic_gradient(
            mixture.points,
            mixture.centers,
            mixture.sigma,
            gradient.log_sum,
            gradient.upstream,
            weights=mixture.weights,
            point_offsets=mixture.point_offsets,
            center_offsets=mixture.center_offsets,
            d_points=gradient.d_points,
            d_centers=gradient.d_centers,
            d_weights=gradient.d_weights,
            d_sigma=gradient.d_sigma,
            threads=threads(),
        )

    def log_sum_exp_full(
        self, points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor, log_sum: Tensor
    ) -> None:
        """Compute the log-sums of components with full covariances."""
        _cpu.log_sum_exp_full(points, centers, factors, offsets, log_sum, threads=threads())

    def log_sum_exp_diagonal(
        self, points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor, log_sum: Tensor
    ) -> None:
        """Compute the log-sums of components with diagonal covariances."""
        _cpu.log_sum_exp_diagonal(points, centers, factors, offsets, log_sum, threads=threads())

    def distance_histogram(
        self,
        points: Tensor,
        edges: Tensor,
        counts: Tensor,
        labels: Tensor | None,
        metric: str,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Count the pairs of each bin; a share (k, n) has the pairs of every n-th run of rows from run k on."""
        _cpu.distance_histogram(points, edges, counts, labels=labels, metric=metric, share=share, threads=threads())

    def largest_distance(self, points: Tensor, metric: str, share: tuple[int, int] = (0, 1)) -> float:
        """Return the largest distance of the pairs of a share."""
        return _cpu.largest_distance(points, metric=metric, share=share, threads=threads())
