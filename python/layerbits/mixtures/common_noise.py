"""Known channels that differ in sigma alone, at queries t = s_i + sigma z that share the noise z.

With the squared distances of centers and the products z . (s_i - s_j), all sigmas need a single pass over the
coordinates:

    log p(t|x_j) - log p(t|x_i) = -(|s_i - s_j|^2 / (2 sigma) + z . (s_i - s_j)) / sigma.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, progress
from layerbits.kernels import as_sigma
from layerbits.mixtures.known_channel import KnownChannel
from layerbits.mixtures.pairwise_bounds import pairwise_lower_bound
from layerbits.statistics import ByCondition

# A term with this exponent adds nothing to a sum that contains the term of the query's own center, whose exponent is 0.
# exp takes at least five times as long where its result underflows.
_SMALLEST_EXPONENT = -700.0

# Pairs of a query and a center whose products are computed together: the centers are read once for many rows, and the
# products take 32 MiB.
_PAIRS_IN_CHUNK = 2**22

# Pairs that are summed together, so that intermediate arrays stay in the caches.
_PAIRS_IN_SUM = 2**18


def common_noise_surprisals(
    channels: Sequence[KnownChannel], noise: Tensor
) -> tuple[list[ByCondition[Doubles]], Doubles]:
    """Compute the surprisals of each channel at its queries, and a lower bound of its I(X;T), in nats.

    Parameters
    ----------
    channels : sequence of KnownChannel
        Equal but for sigma; float64 centers of equal weights, with the classes in ascending order.
    noise : float64 Tensor of shape (n, q, d)
        Standard normal values: the queries of a channel are t = s_i + sigma z.

    Returns
    -------
    list of ByCondition of arrays of shape (n, q)
        See `KnownChannel.surprisals`. If all sigmas share one pass, the error is less than
        d eps (40 sum_k p_k |e_k| + 22 |z|^2) for any sigma, with e_k the exponents, p_k their softmax and eps of
        float64.
    array of shape (len(channels),)
        The lower bounds by pairwise distances (Kolchinsky and Tracey, 2017), which have no Monte Carlo error.
    """
    centers = channels[0].centers
    dim = centers.shape[1]
    # Measured on a core of Zen 5 with AVX-512, in nanoseconds a pair: the kernel takes 0.0255 d for each sigma; one
    # pass takes 0.055 d, and 3 for each sigma.
    one_pass_is_faster = len(channels) * (dim - 118) > 2.2 * dim
    if one_pass_is_faster and bool(centers.square().sum().isfinite()):
        return _in_one_pass(channels, noise)
    return _by_kernel(channels, noise)


def _by_kernel(channels: Sequence[KnownChannel], noise: Tensor) -> tuple[list[ByCondition[Doubles]], Doubles]:
    surprisals, lower_bounds = [], []
    for channel in progress(channels, name="sigmas", total=len(channels)):
        points = channel.centers[:, None] + channel.sigma * noise
        surprisals.append(channel.surprisals(np.arange(len(points)), points))
        lower_bounds.append(
            float(pairwise_lower_bound(channel.centers, as_sigma(channel.sigma), workers=channel.workers))
        )
    return surprisals, np.array(lower_bounds)


def _in_one_pass(channels: Sequence[KnownChannel], noise: Tensor) -> tuple[list[ByCondition[Doubles]], Doubles]:
    n, queries, _ = noise.shape
    classes = np.zeros(n, np.int64) if channels[0].classes is None else channels[0].classes
    class_sizes = np.bincount(classes)
    rows = max(1, _PAIRS_IN_CHUNK // (n * queries))
    chunks = [
        (start, stop, slice(row, min(row + rows, stop)))
        for start, stop in pairwise(np.append(0, class_sizes.cumsum()).tolist())
        for row in range(start, stop, rows)
    ]
    processes = channels[0].workers.processes
    square_norms = channels[0].centers.square().sum(1)

    def sums_of_chunks() -> list[tuple[slice, Doubles]]:
        own = chunks[processes.rank :: processes.size]
        return [
            (chunk, _sums_in_one_pass(channels, noise[chunk], square_norms, chunk, (start, stop)))
            for start, stop, chunk in progress(own, name="inputs", total=len(own))
        ]

    sums = np.empty((len(channels), n, 2 * queries + 1))
    for shares in processes.gather("chunks of inputs", sums_of_chunks):
        for chunk, sums_of_chunk in shares:
            sums[:, chunk] = sums_of_chunk
    all_log_sums, class_log_sums, pairwise_log_sums = np.split(sums, [queries, 2 * queries], axis=2)
    log_n, log_sizes = np.log(n), np.log(class_sizes)[classes, None]
    surprisals = [
        ByCondition(np.zeros((n, queries)), log_sizes - class_log_sum, log_n - log_sum)
        for log_sum, class_log_sum in zip(all_log_sums, class_log_sums, strict=True)
    ]
    return surprisals, log_n - torch.from_numpy(pairwise_log_sums[:, :, 0]).mean(1).numpy()


def _sums_in_one_pass(
    channels: Sequence[KnownChannel], noise: Tensor, square_norms: Tensor, chunk: slice, own_class: tuple[int, int]
) -> Doubles:
    """Return the log-sums of a chunk of inputs for each sigma: shape (sigmas, inputs, 2 queries + 1).

    The first `queries` values are log-sums at the queries over all centers, the next over the centers of the class,
    whose inputs are `own_class`; both are relative to the exponent of the query's own center. The last value is the
    log-sum of the pairwise bound.
    """
    n_rows = max(1, _PAIRS_IN_SUM // (len(square_norms) * noise.shape[1]))
    squares_and_products = _squares_and_products(channels[0].centers, square_norms, noise, chunk)
    sums_of_rows = []
    for squares, products in zip(*(torch.split(tensor, n_rows) for tensor in squares_and_products), strict=True):
        sums = []
        for sigma in (channel.sigma for channel in channels):
            exponents = torch.add(products, squares[:, None], alpha=0.5 / sigma).mul_(-1 / sigma)
            parts = exponents.clamp_(min=_SMALLEST_EXPONENT).tensor_split(own_class, -1)
            log_sums = torch.stack([part.logsumexp(-1) for part in parts])
            pairwise_log_sums = (squares / sigma / (-8 * sigma)).logsumexp(-1, keepdim=True)
            sums.append(torch.cat([log_sums.logsumexp(0), log_sums[1], pairwise_log_sums], -1))
        sums_of_rows.append(torch.stack(sums))
    return torch.cat(sums_of_rows, 1).numpy(force=True)


def _squares_and_products(centers: Tensor, square_norms: Tensor, noise: Tensor, chunk: slice) -> tuple[Tensor, Tensor]:
    """Compute |s_i - s_j|^2, shape (m, n), and z . (s_i - s_j), shape (m, queries, n), for m rows of the n centers.

    The error of a matrix product is at most d eps |s_i| |s_j|. If the squared distance is below an eighth of
    |s_i|^2 + |s_j|^2, this error is too large, and differences are computed directly. Otherwise the error of the
    squared distance is at most 16 d eps |s_i - s_j|^2, and the error of the product at most 4 d eps |z| |s_i - s_j|.
    """
    rows, norms = centers[chunk], square_norms[chunk, None] + square_norms
    squares = torch.addmm(norms, rows, centers.mT, alpha=-2)
    products = (noise * rows[:, None]).sum(-1, keepdim=True) - noise @ centers.mT
    is_near = squares < norms / 8
    for i, (row, z) in enumerate(zip(rows, noise, strict=True)):
        indices = is_near[i].nonzero()[:, 0]
        differences = row - centers[indices]
        squares[i, indices] = differences.square().sum(1)
        products[i][:, indices] = z @ differences.mT
    return squares, products
