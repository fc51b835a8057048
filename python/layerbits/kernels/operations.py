"""The operations on Gaussian kernels and distances, as functions of tensors.

The native modules check types, dtypes, devices and shapes, and name the argument in errors. This module checks names of
methods and metrics and chooses the back end by the device of the points. The isotropic log-sum-exp is differentiable.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits._base import check_positive, shown
from layerbits.kernels.arrays import check_plain
from layerbits.kernels.log_sum_exp import LogSumExp, empty_log_sum, may_be_differentiated
from layerbits.kernels.native_interface import Accuracy, operations_for

METHODS = ("auto", "dense", "pruned", "gridded")
METRICS = ("euclidean", "cosine")


def log_sum_exp_isotropic(
    points: Tensor,
    centers: Tensor,
    sigma: Tensor,
    *,
    weights: Tensor | None = None,
    point_offsets: Tensor | None = None,
    center_offsets: Tensor | None = None,
    method: str = "auto",
    tolerance: float | None = None,
) -> Tensor:
    """Return log sum_j w_j exp(-|points_i - centers_j|^2 / (2 sigma^2)) for every row i, differentiable.

    Parameters
    ----------
    points, centers : Tensor of shape (m, d) and (n, d)
        float32 or float64, of one dtype; any strides. Points, centers and weights are on one device: the CPU, or a CUDA
        device, whose current stream runs the kernels.
    sigma : Tensor of shape ()
        float64 on the CPU, from `as_sigma`.
    weights : Tensor of shape (n,), optional
        Not negative, with a positive total; all one by default.
    point_offsets, center_offsets : int64 Tensor of shape (groups + 1,), optional
        The sums of points of group g are over the centers of group g. Give both or neither, on any device.
    method : {"auto", "dense", "pruned", "gridded"}
        "dense" computes every pair. "pruned" skips pairs with negligible terms, unless there are several groups. The
        CPU uses a tree of centers, and replaces centers that are close together by one center; a CUDA device uses
        bounding boxes of tiles in up to 32 dimensions, and computes every pair with groups or in more dimensions.
        "gridded" expands the centers of cells in one and two dimensions, in time O(n + m) for points within about 6
        sigma of a center; it sums nearby pairs for other points, and every pair in more dimensions or, in two
        dimensions, for a tolerance below 1e-8, such as the default of float64. A CUDA device needs such a tolerance in
        one dimension too, and sums every pair of groups.
        "auto" estimates which method is faster; a CUDA device computes every pair if that takes less than some
        hundredths of a second. On the CPU, every other method gives a row the same bits in every batch; "auto" may
        choose another method for another batch. On a CUDA device a repeated call has the same bits.
    tolerance : float, optional
        Largest change of a log-sum by "pruned" and "gridded", in nats; by default half an eps of the dtype. Gradients
        use every pair, with softmax weights that are wrong by a factor of at most e^tolerance.

    Returns
    -------
    Tensor of shape (m,), float64
        In nats. -inf for an empty sum; NaN for a row with NaN, and for all rows of a group with NaN in a center.
        |error| <= (4 + d/64) eps (1 + sum_k p_k |e_k|), eps of the dtype, e_k the exponents with the weights relative
        to the largest one, p_k their softmax; plus the tolerance and the rounding, in float64, of the largest weight's
        logarithm and of the result. If nearly all roundings of a squared distance have one sign, as they may for points
        that are chosen for it, 4 + d/64 becomes at most 20 + d/64. Squared distances beyond the dtype are infinite.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.
    TypeError
        Two derivatives are in forward mode, or forward mode differentiates a second derivative: use reverse mode. Or
        torch.autograd maps over upstream gradients (``is_grads_batched``, ``vectorize``): use torch.func.

    Notes
    -----
    Derivatives of every order exist; third ones take memory O(m n d). torch.func.vmap computes the points of a batch in
    one call; with a batch of other arguments, it needs a call for each element.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method: got {method!r}, wanted one of {', '.join(METHODS)}")
    accuracy = Accuracy(method, None if tolerance is None else check_positive("tolerance", tolerance))
    arguments = points, centers, sigma, weights, point_offsets, center_offsets, accuracy
    if not may_be_differentiated(points, centers, sigma, weights):
        return LogSumExp.forward(*arguments)
    log_sum: Tensor = LogSumExp.apply(*arguments)  # type: ignore[no-untyped-call]
    return log_sum


def log_sum_exp_full(points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """Return log sum_j exp(offsets_j - |factors_j (points_i - centers_j)|^2 / 2) for every row i; not differentiable.

    This is the log density of a mixture of Gaussians with weights w_j and covariances C_j if factors_j^T factors_j is
    the inverse of C_j and offsets_j = log w_j - log det(2 pi C_j) / 2.

    Parameters
    ----------
    points, centers : Tensor of shape (m, d) and (n, d)
        float32 or float64, of one dtype; any strides.
    factors : Tensor of shape (n, d, d)
        Lower triangular, such as the inverse of the Cholesky factor of C_j; entries above the diagonal are not read.
        The kernel multiplies row by row and stops once the term is certainly 0, so it is fastest if the first
        coordinates of points and centers differ most.
    offsets : Tensor of shape (n,)
        In nats, -inf for a weight of 0.

    Returns
    -------
    Tensor of shape (m,), float64
        In nats. -inf for an empty sum and for a point at infinity; NaN for a row with NaN, and for all rows if there is
        NaN among the Gaussians. Gaussians with an infinite center or factor add nothing. With e_k the exponents with
        the offsets relative to the largest one, p_k their softmax, y_k = factors_k (point - center_k), and a_k the same
        product of absolute values,
        |error| <= eps ((5 + d/2) (1 + sum_k p_k |e_k|) + (1 + d/2) sum_k p_k |y_k| . a_k), eps of the dtype, plus the
        rounding of the result: the product loses digits where its terms cancel, as for nearly singular covariances.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device or shape than wanted, an offset is +inf, or products of finite
        points and factors might leave the range of the dtype; the message names it.
    TypeError
        A tensor requires a gradient, or torch.func transforms the call.
    """
    _check_constants("log_sum_exp_full", points, centers, factors, offsets)
    log_sum = empty_log_sum(points)
    operations_for(points).log_sum_exp_full(
        points.detach(), centers.detach(), factors.detach(), offsets.detach(), log_sum
    )
    return log_sum


def log_sum_exp_diagonal(points: Tensor, centers: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """Return log sum_j exp(offsets_j - sum_k (factors_jk (points_ik - centers_jk))^2 / 2); not differentiable.

    This is the log density of a mixture of Gaussians with weights w_j and independent units of variances v_jk if
    factors_jk = v_jk^(-1/2) and offsets_j = log w_j - sum_k log(2 pi v_jk) / 2.

    Parameters
    ----------
    points, centers, factors : Tensor of shape (m, d), (n, d) and (n, d)
        float32 or float64, of one dtype; any strides.
    offsets : Tensor of shape (n,)
        In nats, -inf for a weight of 0.

    Returns
    -------
    Tensor of shape (m,), float64
        In nats. -inf for an empty sum and for a point at infinity; NaN for a row with NaN, and for all rows if there is
        NaN among the Gaussians. Gaussians with an infinite center or factor add nothing. With e_k the exponents with
        the offsets relative to the largest one and p_k their softmax,
        |error| <= (4 + d/64) eps (1 + sum_k p_k |e_k|), eps of the dtype, plus the rounding of the result. If nearly
        all roundings of a squared distance have one sign, as they may for points that are chosen for it, 4 + d/64
        becomes at most 13 + d/32. Squared distances beyond the dtype are infinite.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device or shape than wanted, an offset is +inf, or differences of finite
        points and centers might leave the range of the dtype; the message names it.
    TypeError
        A tensor requires a gradient, or torch.func transforms the call.
    """
    _check_constants("log_sum_exp_diagonal", points, centers, factors, offsets)
    log_sum = empty_log_sum(points)
    operations_for(points).log_sum_exp_diagonal(
        points.detach(), centers.detach(), factors.detach(), offsets.detach(), log_sum
    )
    return log_sum


def distance_histogram(
    points: Tensor, edges: Tensor, *, labels: Tensor | None = None, metric: str = "euclidean"
) -> Tensor:
    """Return how many of the n (n - 1) / 2 pairs of rows have a distance in each bin.

    Parameters
    ----------
    points : Tensor of shape (n, d)
        float32 or float64, finite; any strides.
    edges : Tensor of shape (bins + 1,), float64
        Finite, in ascending order; equal edges are allowed. Bin b counts edges[b] <= distance < edges[b + 1]; the last
        bin includes its upper edge.
    labels : int64 Tensor of shape (n,), optional
        All equal by default.
    metric : {"euclidean", "cosine"}
        "cosine" is one minus the cosine of the angle, from 0 to 2; no row may be zero.

    Returns
    -------
    Tensor of shape (bins + 2, 2), int64
        Column 0 counts the pairs of different labels, column 1 the pairs of equal labels. The first row counts the
        pairs below all edges, the last row the pairs above. Distances are rounded to the dtype of the points before
        they are compared with the edges. With eps of that dtype, |error| <= (11 + d/1024) eps distance for distances
        that exceed 1e-17 (float64: 1e-150) times the largest coordinate; under "cosine"
        |error| <= (40 + d/60) eps c + 2 eps sqrt(c) + eps^2 at a distance of c.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.
    """
    check_plain("distance_histogram", points, edges, labels)
    counts = torch.empty((edges.numel() + 1, 2), dtype=torch.int64, device=points.device)
    operations_for(points).distance_histogram(
        points.detach(), edges.detach().cpu(), counts, _detached(labels), check_metric(metric)
    )
    return counts


def largest_distance(points: Tensor, *, metric: str = "euclidean") -> float:
    """Return the largest distance of two rows as `distance_histogram` computes it; 0 for fewer than two rows.

    Raises
    ------
    TypeError, ValueError
        As for `distance_histogram`.
    """
    check_plain("largest_distance", points)
    return operations_for(points).largest_distance(points.detach(), check_metric(metric))


def fill_standard_normal(values: Tensor, keys: Sequence[int], first: int) -> None:
    """Fill each row of a tensor on a CUDA device with standard normal values, on its current stream.

    Parameters
    ----------
    values : Tensor of shape (rows, n)
        float32 or float64.
    keys : sequence of int
        A 64-bit key for each row; a key and a position determine a value.
    first : int
        Position of the first column in the stream of its row, at least 0.

    Notes
    -----
    Box and Muller's transform of Philox4x32-10; `reference.standard_normal` computes the same values up to rounding. No
    absolute value exceeds 6.67 in float32 and 9.42 in float64; a normal value lies further out with a probability of
    3e-11 and 5e-21.
    """
    from layerbits.kernels.cuda_operations import CudaOperations

    if values.numel():
        CudaOperations().standard_normal(values, keys, first)


def check_metric(metric: object) -> str:
    """Return the name of a metric; raise a ValueError for any other object."""
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(f"metric: got {shown(metric)!r}, wanted one of {', '.join(METRICS)}")
    return metric


def _check_constants(operation: str, *tensors: Tensor) -> None:
    """Raise TypeError if a tensor requires a gradient, or if torch.func transforms the call."""
    check_plain(operation, *tensors)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise TypeError(f"{operation}: got a tensor that requires a gradient, wanted constants; detach the tensor")


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
