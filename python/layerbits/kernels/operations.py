"""The native kernels behind torch.autograd: the one place where Python meets the core.

Arrays are checked by the core, which names argument, got and wanted; here is only what the core cannot know: which kind
of array came in, and what of it needs a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from layerbits._base import check_positive
from layerbits.kernels.back_ends import cpu, cuda
from layerbits.kernels.spatial_order import near_order

_DEVICES = ("cpu", "cuda")  # of the kernels below
METHODS = ("auto", "dense", "pruned")
METRICS = ("euclidean", "cosine")

PRUNED_DIMS = 32  # kPrunedDims of csrc/cuda/verbs.h
_WORTH_ASKING = 1e12  # instructions of all pairs: 40 ms of an H200, if it does 3/4 of what it can
_threads: ContextVar[int | None] = ContextVar("threads", default=None)  # of the kernels, where torch has others


def as_tensor(name: str, array: object) -> Tensor:
    """Return a tensor that shares memory with `array` where it can; TypeError or ValueError that names the argument."""
    if isinstance(array, Tensor):
        if array.layout != torch.strided or array.device.type not in _DEVICES:
            got = f"a {array.layout} tensor on {array.device}"
            raise ValueError(
                f"{name}: got {got}, wanted a torch.strided one on the CPU or a CUDA device; move or convert it"
            )
        return array
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: got {type(array).__name__}, wanted a torch.Tensor or numpy.ndarray")
    if array.dtype.kind not in "fiub" or array.itemsize > 8:
        raise TypeError(f"{name}: got dtype {array.dtype}, wanted numbers of at most 64 bits")
    # torch takes no read-only or byte-swapped memory, no negative or broken strides, and the core no unaligned memory.
    whole = all(step >= 0 and step % array.itemsize == 0 for step in array.strides)
    shareable = whole and array.flags.writeable and array.flags.aligned and array.dtype.isnative
    return torch.from_numpy(array if shareable else array.astype(array.dtype.newbyteorder("="), order="C"))


def as_floats(name: str, array: object) -> Tensor:
    """Return `as_tensor`; TypeError unless it is of float32 or float64."""
    tensor = as_tensor(name, array)
    if tensor.dtype not in (torch.float32, torch.float64):
        wanted = "float32 or float64; convert it, or its network, by .float()"
        raise TypeError(f"{name}: got dtype {tensor.dtype}, wanted {wanted}")
    return tensor


def as_sigma(sigma: object) -> Tensor:
    """Return a positive number as a float64 scalar on the CPU that keeps its gradient; TypeError or ValueError."""
    if isinstance(sigma, Tensor):
        if sigma.numel() != 1 or not sigma.is_floating_point() or sigma.is_meta:
            got = f"{sigma.dtype} of shape {tuple(sigma.shape)} on {sigma.device}"
            raise TypeError(f"sigma: got {got}, wanted one floating-point number")
        check_positive("sigma", sigma.item())
        return sigma.reshape(()).to("cpu", torch.float64)
    return torch.tensor(check_positive("sigma", sigma), dtype=torch.float64, device="cpu")


def threads() -> int:
    """Return the number of threads of a call: torch's setting, but no more than the cores this process may use."""
    return int(min(_threads.get() or torch.get_num_threads(), cpu().usable_cores()))


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Keep operators of torch to one thread for a ``with`` block, and kernels to as many as before.

    For what surrounds the kernels threads bring little on an idle machine, and on a busy one each operator waits for
    them: with some threads for each of two cores, two made the measurement of five SZT layers twice as long.
    """
    before = torch.get_num_threads()
    token = _threads.set(threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _threads.reset(token)


@contextmanager
def _native(tensor: Tensor) -> Iterator[tuple[ModuleType, dict[str, Any]]]:
    """Give the back end of a tensor's device, and what each of its calls is told of how to run."""
    if tensor.device.type != "cuda":
        yield cpu(), {"threads": threads()}
        return
    with torch.cuda.device(tensor.device):  # torch exports tensors of the current device alone
        stream = torch.cuda.current_stream().cuda_stream
        yield cuda(), {"stream": stream, "allocate": partial(torch.empty, dtype=torch.float64, device=tensor.device)}


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
        float32 or float64, both the same; any strides. All tensors on one device, the CPU or a CUDA device; there, on
        its current stream.
    sigma : Tensor of shape ()
        As `as_sigma` returns it.
    weights : Tensor of shape (n,), optional
        Not negative, of any positive total; all one by default.
    point_offsets, center_offsets : int64 Tensor of shape (groups + 1,), optional
        Points of group g meet only the centers of group g. Both or neither. On any device: the CPU reads them.
    method : {"auto", "dense", "pruned"}
        "dense" takes every pair. "pruned" leaves out centers of a single group that cannot matter: the CPU by a tree,
        in which it also takes as one what cannot be told apart; a CUDA device by boxes around tiles, in up to 32
        dimensions, beyond which it takes every pair. "auto" takes what it expects to be faster; a CUDA device looks for
        it where all pairs take some hundredths of a second. On the CPU a row has the same bits in every batch within a
        method; on a CUDA device a repeated call has them.
    tolerance : float, optional
        What "pruned" may change a log-sum by, in nats; by default half an eps of the dtype. Gradients take every pair,
        with softmax weights that are off by a factor of at most e^tolerance.

    Returns
    -------
    Tensor of shape (m,), float64
        In nats. -inf where no center weighs anything; NaN for a row with NaN, and for all rows if a center has NaN.
        |error| <= (4 + d/64) eps (1 + sum_k p_k |e_k|), eps of the dtype, e_k the exponents with the weights relative
        to the largest one, p_k their softmax; and the tolerance, and the rounding of the result. Squared distances
        beyond the dtype are infinite.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method: got {method!r}, wanted one of {', '.join(METHODS)}")
    accuracy = (method, None if tolerance is None else check_positive("tolerance", tolerance))
    result: Tensor = _LogSumExp.apply(  # type: ignore[no-untyped-call]
        points, centers, sigma, weights, point_offsets, center_offsets, *accuracy
    )
    return result


def log_sum_exp_full(points: Tensor, means: Tensor, factors: Tensor, offsets: Tensor) -> Tensor:
    """Return log sum_j exp(offsets_j - |factors_j (points_i - means_j)|^2 / 2) for every row i; not differentiable.

    With factors_j^T factors_j the inverse of a covariance C_j and log w_j - log det(2 pi C_j) / 2 for the offset, that
    is the log density of a mixture of Gaussians of weights w_j.

    Parameters
    ----------
    points, means : Tensor of shape (m, d) and (n, d)
        float32 or float64, all of one dtype; any strides.
    factors : Tensor of shape (n, d, d)
        Lower triangular, such as the inverse of the Cholesky factor of C_j; what is above the diagonal is not read.
        Rows are taken in their order, and those are left out that come after a term is known to be 0: it is fastest
        where the first coordinates tell points and means apart.
    offsets : Tensor of shape (n,)
        In nats, -inf for a weight of 0.

    Returns
    -------
    Tensor of shape (m,), float64
        In nats. -inf for an empty sum and for a point at infinity; NaN for a row with NaN, and for all rows if there is
        NaN among the Gaussians. Those with an infinite mean or factor weigh nothing. With e_k the exponents with the
        offsets relative to the largest one, p_k their softmax, a_k = |factors_k| |point - mean_k| in absolute values
        entry by entry, and y_k the same with signs,
        |error| <= eps ((5 + d/2) (1 + sum_k p_k |e_k|) + (1 + d/2) sum_k p_k |y_k| . a_k), eps of the dtype, and the
        rounding of the result: the product costs digits where its terms cancel, as in nearly singular covariances.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device or shape than wanted, an offset is +inf, or products of finite
        points and factors might leave the range of the dtype; the message names it.
    """
    log_sum = _empty_row_sums(points)
    with _native(points) as (native, how):
        native.log_sum_exp_full(points.detach(), means.detach(), factors.detach(), offsets.detach(), log_sum, **how)
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
        Finite, never falling. Bin b holds edges[b] <= distance < edges[b + 1], the last bin its upper edge too.
    labels : int64 Tensor of shape (n,), optional
        All equal by default.
    metric : {"euclidean", "cosine"}
        "cosine" is one minus the cosine of the angle, from 0 to 2; no row may be zero.

    Returns
    -------
    Tensor of shape (bins + 2, 2), int64
        Column 0 counts the pairs of different labels, column 1 those of equal ones; the first row is what lies below
        all edges, the last row what lies above. The bin is that of the distance rounded to the dtype of the points.
        With eps of that dtype, |error| <= (11 + d/1024) eps distance, for distances that exceed 1e-17 (float64: 1e-150)
        times the largest coordinate; under "cosine" |error| <= (40 + d/60) eps c + 2 eps sqrt(c) + eps^2 at a distance
        of c.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.
    """
    counts = torch.empty((edges.numel() + 1, 2), dtype=torch.int64, device=points.device)
    with _native(points) as (native, how):
        native.distance_histogram(
            _data(points), _on_host(edges), counts, labels=_data(labels), metric=_known_metric(metric), **how
        )
    return counts


def largest_distance(points: Tensor, *, metric: str = "euclidean") -> float:
    """Return the largest distance of two rows as `distance_histogram` has it; 0 where there are no two."""
    with _native(points) as (native, how):
        return float(native.largest_distance(_data(points), metric=_known_metric(metric), **how))


def fill_standard_normal(values: Tensor, keys: Sequence[int], first: int) -> None:
    """Fill each row of a tensor on a CUDA device with values of the standard normal law, on its current stream.

    Parameters
    ----------
    values : Tensor of shape (rows, n)
        float32 or float64.
    keys : sequence of int
        A 64-bit key for each row, which with the place in the stream decides a value.
    first : int
        Place of the first column in the stream of its row, at least 0.

    Notes
    -----
    Box and Muller's transform of Philox4x32-10, as `reference.standard_normal` has it. No value exceeds 6.67 in float32
    and 9.42 in float64, beyond which lie 3e-11 and 5e-21 of the normal law.
    """
    if values.numel():
        with _native(values) as (native, how):
            native.standard_normal(values, keys, first, **how)


def _known_metric(metric: object) -> str:
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(f"metric: got {metric!r}, wanted one of {', '.join(METRICS)}")
    return metric


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        centers: Tensor,
        sigma: Tensor,
        weights: Tensor | None,
        point_offsets: Tensor | None,
        center_offsets: Tensor | None,
        method: str,
        tolerance: float | None,
    ) -> Tensor:
        log_sum = _empty_row_sums(points)
        with _native(points) as (native, how):
            if points.device.type == "cpu":
                how |= {"method": method, "tolerance": tolerance}
            elif method != "dense" and point_offsets is None and may_prune(points, centers):
                call = partial(native.log_sum_exp_isotropic, **how)
                how |= _pruning(call, points.detach(), centers.detach(), sigma.item(), method, tolerance)
            native.log_sum_exp_isotropic(
                _data(points),
                _data(centers),
                sigma.item(),
                log_sum,
                weights=_data(weights),
                point_offsets=_on_host(point_offsets),
                center_offsets=_on_host(center_offsets),
                **how,
            )
        ctx.save_for_backward(points, centers, sigma, weights, point_offsets, center_offsets, log_sum)
        return log_sum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        points, centers, sigma, weights, point_offsets, center_offsets, log_sum = ctx.saved_tensors
        wants_points, wants_centers, wants_sigma, wants_weights = ctx.needs_input_grad[:4]
        d_points = torch.empty_like(points) if wants_points else None
        d_centers = torch.empty_like(centers) if wants_centers else None
        d_sigma = torch.empty_like(log_sum) if wants_sigma else None
        d_weights = torch.empty_like(weights) if wants_weights else None
        with _native(points) as (native, how):
            native.log_sum_exp_isotropic_gradient(
                _data(points),
                _data(centers),
                sigma.item(),
                _data(log_sum),
                _data(upstream.contiguous()),
                weights=_data(weights),
                point_offsets=_on_host(point_offsets),
                center_offsets=_on_host(center_offsets),
                d_points=d_points,
                d_centers=d_centers,
                d_weights=d_weights,
                d_sigma=d_sigma,
                **how,
            )
        of_sigma = None if d_sigma is None else d_sigma.sum().to(sigma.device)
        return d_points, d_centers, of_sigma, d_weights, None, None, None, None


def may_prune(points: Tensor, centers: Tensor) -> bool:
    """Return whether the kernels of CUDA can prune; where arguments are wrong it is for the core to say so."""
    return (
        points.ndim == centers.ndim == 2
        and bool(points.numel() and centers.numel())
        and (points.shape[1] == centers.shape[1] <= PRUNED_DIMS)
    )


def _pruning(
    call: Callable[..., float], points: Tensor, centers: Tensor, sigma: float, method: str, tolerance: float | None
) -> dict[str, Any]:
    """Return what makes the kernels of CUDA prune; nothing where `auto` expects that not to pay.

    `auto` prunes a tenth of the rows of both sides first, a hundredth of the pairs, where ordering is expected to take
    little beside all pairs. Boxes of fewer rows are larger, so that it errs towards dense.
    """

    def orders(*sides: Tensor) -> dict[str, Any]:
        names = ("point_order", "center_order")
        return {name: near_order(side) for name, side in zip(names, sides, strict=True)} | {"tolerance": tolerance}

    if method == "auto":
        if len(points) * len(centers) * (2 * points.shape[1] + 6) < _WORTH_ASKING:
            return {}
        some = points[::10], centers[::10]
        if call(*some, sigma, _empty_row_sums(some[0]), **orders(*some)) > 0.6:
            return {}
    return orders(points, centers)


def _empty_row_sums(points: Tensor) -> Tensor:
    return torch.empty(len(points) if points.ndim else 0, dtype=torch.float64, device=points.device)


def _on_host(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().cpu()


def _data(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
