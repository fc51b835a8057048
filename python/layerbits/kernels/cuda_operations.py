"""The adapter of the native module of CUDA, which adds stream and scratch memory, and chooses when to prune."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

from layerbits.kernels.back_ends import cuda
from layerbits.kernels.cuda_pruning import PruningOrders, can_prune, every_tenth, is_dense_cheap, orders_of
from layerbits.kernels.grids import LEAST_TOLERANCE, gridded_log_sums
from layerbits.kernels.native_interface import Accuracy, Gradient, Mixture

if TYPE_CHECKING:  # mypy reads _cuda.pyi; at run time a missing module is a BackendError
    from layerbits.kernels import _cuda
else:
    _cuda = cuda()

# "auto" prunes if a trial computes at most this share of the pairs.
_WORTHWHILE_SHARE = 0.6

# "auto" expands the centers of cells if there are at most this many cells per point. The value is unmeasured: a cell of
# the plane takes about a million floating-point operations.
_WORTHWHILE_CELLS = 0.25


class Launch(TypedDict):
    """How a call runs: the caller's current stream, and an allocator of float64 scratch memory on that stream."""

    stream: int
    allocate: Callable[[int], Tensor]


@contextmanager
def _launch_on(tensor: Tensor) -> Iterator[Launch]:
    with torch.cuda.device(tensor.device):  # torch exports only tensors of the current device
        stream = torch.cuda.current_stream().cuda_stream
        yield {"stream": stream, "allocate": partial(torch.empty, dtype=torch.float64, device=tensor.device)}


class CudaOperations:
    """The operations on CUDA devices, on the current stream of the device of the points; see NativeOperations."""

    def log_sum_exp_isotropic(self, mixture: Mixture, accuracy: Accuracy, log_sum: Tensor) -> None:
        """Compute the log-sums by the method of `accuracy`."""
        with _launch_on(mixture.points) as launch:
            if not _should_grid(mixture, accuracy):
                _sum_pairs(mixture, accuracy, log_sum, launch)
                return
            # The sum at one point checks the arguments.
            _sum_pairs(_at_points(mixture, slice(1)), accuracy, log_sum[:1], launch)
            cells_per_point = _WORTHWHILE_CELLS if accuracy.method == "auto" else 1.0
            log_sums = gridded_log_sums(mixture, _tolerance(mixture, accuracy), cells_per_point)
            if log_sums is None:
                _sum_pairs(mixture, accuracy, log_sum, launch)
                return
            uncertain = log_sums.isnan().nonzero()[:, 0]
            if len(uncertain):
                others = torch.empty(len(uncertain), dtype=torch.float64, device=log_sum.device)
                _sum_pairs(_at_points(mixture, uncertain), Accuracy("auto", accuracy.tolerance), others, launch)
                log_sums[uncertain] = others
            log_sum.copy_(log_sums)

    def log_sum_exp_isotropic_gradient(self, mixture: Mixture, gradient: Gradient) -> None:
        """Compute the gradients from all pairs."""
        with _launch_on(mixture.points) as launch:
            _cuda.log_sum_exp_isotropic_gradient(
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
                **launch,
            )

    def log_sum_exp_full(
        self, points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor, log_sum: Tensor
    ) -> None:
        """Compute the log-sums of components with full covariances."""
        with _launch_on(points) as launch:
            _cuda.log_sum_exp_full(points, centers, factors, offsets, log_sum, **launch)

    def log_sum_exp_diagonal(
        self, points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor, log_sum: Tensor
    ) -> None:
        """Compute the log-sums of components with diagonal covariances."""
        with _launch_on(points) as launch:
            _cuda.log_sum_exp_diagonal(points, centers, factors, offsets, log_sum, **launch)

    def distance_histogram(
        self, points: Tensor, edges: Tensor, counts: Tensor, labels: Tensor | None, metric: str
    ) -> None:
        """Count the pairs of each bin."""
        with _launch_on(points) as launch:
            _cuda.distance_histogram(points, edges, counts, labels=labels, metric=metric, **launch)

    def largest_distance(self, points: Tensor, metric: str) -> float:
        """Return the largest distance."""
        with _launch_on(points) as launch:
            return _cuda.largest_distance(points, metric=metric, **launch)

    def standard_normal(self, values: Tensor, keys: Sequence[int], first: int) -> None:
        """Fill each row with the values of its key's stream from position `first`; the CPU has no such operation."""
        with _launch_on(values) as launch:
            _cuda.standard_normal(values, keys, first, **launch)


def _should_grid(mixture: Mixture, accuracy: Accuracy) -> bool:
    """Return whether to expand the centers of cells: in up to two dimensions, "auto" if all pairs take too long."""
    is_wanted = accuracy.method == "gridded" or (accuracy.method == "auto" and not is_dense_cheap(mixture))
    return (
        is_wanted
        and can_prune(mixture)
        and mixture.points.shape[1] <= 2
        and _tolerance(mixture, accuracy) >= LEAST_TOLERANCE
    )


def _tolerance(mixture: Mixture, accuracy: Accuracy) -> float:
    return torch.finfo(mixture.points.dtype).eps / 2 if accuracy.tolerance is None else accuracy.tolerance


def _at_points(mixture: Mixture, rows: slice | Tensor) -> Mixture:
    return dataclasses.replace(mixture, points=mixture.points[rows])


def _sum_pairs(mixture: Mixture, accuracy: Accuracy, log_sum: Tensor, launch: Launch) -> None:
    """Compute the log-sums from pairs, pruned if that is wanted or faster."""
    orders = orders_of(mixture) if _should_prune(mixture, accuracy, launch) else None
    _log_sum_exp_isotropic(mixture, accuracy, orders, log_sum, launch)


def _should_prune(mixture: Mixture, accuracy: Accuracy, launch: Launch) -> bool:
    """Return whether to prune the pairs.

    Unless all pairs are cheap, "auto" first prunes a trial of a tenth of the points and centers, a hundredth of the
    pairs. Bounding boxes of fewer rows are larger, so the trial computes too large a share, which favours "dense".
    """
    if accuracy.method in ("dense", "gridded") or not can_prune(mixture):
        return False
    if accuracy.method == "pruned":
        return True
    return not is_dense_cheap(mixture) and _pruned_share(mixture, accuracy, launch) <= _WORTHWHILE_SHARE


def _log_sum_exp_isotropic(
    mixture: Mixture, accuracy: Accuracy, orders: PruningOrders | None, log_sum: Tensor, launch: Launch
) -> float:
    """Compute the log-sums, pruned if there are orders; return the share of the pairs that were computed."""
    return _cuda.log_sum_exp_isotropic(
        mixture.points,
        mixture.centers,
        mixture.sigma,
        log_sum,
        weights=mixture.weights,
        point_offsets=mixture.point_offsets,
        center_offsets=mixture.center_offsets,
        point_order=None if orders is None else orders.points,
        center_order=None if orders is None else orders.centers,
        tolerance=None if orders is None else accuracy.tolerance,
        **launch,
    )


def _pruned_share(mixture: Mixture, accuracy: Accuracy, launch: Launch) -> float:
    """Return the share of the pairs that pruning computes for a tenth of the points and centers."""
    trial = every_tenth(mixture)
    log_sum = torch.empty(len(trial.points), dtype=torch.float64, device=trial.points.device)
    return _log_sum_exp_isotropic(trial, accuracy, orders_of(trial), log_sum, launch)
