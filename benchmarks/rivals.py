"""Each rival as its users would call it. Nothing here calls the core."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from torch import Tensor

from benchmarks.problems import Problem
from layerbits.kernels import reference

Doubles = npt.NDArray[np.float64]

_PLAIN_CHUNK = 4096  # as memory allows: 64 MB of exponents at 4096 centers in float32


def numpy_log_density(problem: Problem, chunk: int) -> Doubles:
    """The pure-Python estimator; cdist computes in float64 whatever it is given."""
    return reference.mixture_log_density(problem.points.numpy(), problem.centers.numpy(), problem.sigma, chunk=chunk)


def torch_log_density(problem: Problem) -> Tensor:
    """As one writes it: cdist, square, logsumexp, in chunks that fit into memory."""
    centers, sigma = problem.centers, problem.sigma
    n, d = centers.shape
    log_sums = [
        torch.logsumexp(-(torch.cdist(block, centers) ** 2) / (2 * sigma**2), dim=1)
        for block in torch.split(problem.points, _PLAIN_CHUNK)
    ]
    return torch.cat(log_sums) - math.log(n) - d / 2 * math.log(2 * math.pi * sigma**2)


def tuned_torch_log_density(problem: Problem, chunk: int) -> Tensor:
    """The same in place, in a chunk that was chosen for speed on this machine."""
    n, d = problem.centers.shape
    log_sums = [_torch_log_sum(block, problem.centers, problem.sigma) for block in torch.split(problem.points, chunk)]
    return torch.cat(log_sums) - math.log(n) - d / 2 * math.log(2 * math.pi * problem.sigma**2)


def numpy_log_sums_of_groups(problem: Problem) -> Doubles:
    """One call a group."""
    assert problem.point_offsets is not None
    assert problem.center_offsets is not None
    ends = problem.point_offsets[1:-1].numpy(), problem.center_offsets[1:-1].numpy()
    log_sums = [
        logsumexp(-cdist(points, centers, "sqeuclidean") / (2 * problem.sigma**2), axis=1)
        for points, centers in zip(
            np.split(problem.points.numpy(), ends[0]), np.split(problem.centers.numpy(), ends[1]), strict=True
        )
    ]
    return np.concatenate(log_sums)


def torch_log_sums_of_groups(problem: Problem) -> Tensor:
    """All groups in one batch, which serves because they are of one size."""
    assert problem.point_offsets is not None
    batch = len(problem.point_offsets) - 1
    points, centers = (tensor.view(batch, -1, problem.dim) for tensor in (problem.points, problem.centers))
    return _torch_log_sum(points, centers, problem.sigma).flatten()


def torch_gradient(problem: Problem, upstream: Tensor, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Gradients of points and centers, a chunk forward and backward at a time, so that memory suffices."""
    points, centers = (tensor.detach().clone().requires_grad_() for tensor in (problem.points, problem.centers))
    for rows in torch.split(torch.arange(len(points)), chunk):
        exponents = torch.cdist(points[rows], centers).square() * (-0.5 / problem.sigma**2)
        torch.autograd.backward(torch.logsumexp(exponents, dim=1), upstream[rows])
    assert points.grad is not None
    assert centers.grad is not None
    return points.grad, centers.grad


def numpy_information(signals: dict[str, Tensor], sigma: float, *, queries: int) -> dict[str, float]:
    """I(X;T) of every layer from signals (n_inputs, draws, d) by the pure-Python estimator."""
    return {
        layer: reference.layer_information(signal.numpy(), sigma, queries=queries) for layer, signal in signals.items()
    }


def torch_information(signals: dict[str, Tensor], sigma: float, *, queries: int, chunk: int) -> dict[str, float]:
    """The same in torch, in float64: cdist in float32 loses the small distances that matter at a small sigma."""
    return {
        layer: _torch_layer_information(signal.double(), sigma, queries, chunk) for layer, signal in signals.items()
    }


def _torch_layer_information(signals: Tensor, sigma: float, queries: int, chunk: int) -> float:
    n_inputs, draws, _ = signals.shape
    bases = signals[:, torch.arange(queries) % draws]
    generator = torch.Generator().manual_seed(0)
    points = bases + sigma * torch.randn(bases.shape, dtype=bases.dtype, generator=generator)
    own = _torch_log_sum(points, signals, sigma).flatten() - math.log(draws)
    pooled = [_torch_log_sum(block, signals.flatten(0, 1), sigma) for block in torch.split(points.flatten(0, 1), chunk)]
    return float((own - torch.cat(pooled) + math.log(n_inputs * draws)).mean())


def _torch_log_sum(points: Tensor, centers: Tensor, sigma: float) -> Tensor:
    return torch.logsumexp(torch.cdist(points, centers).square_().mul_(-0.5 / sigma**2), dim=-1)
