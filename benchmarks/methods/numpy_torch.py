"""The rivals in NumPy and torch, written as their users would write them; nothing here calls the compiled core."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from torch import Tensor

from benchmarks.problems import LogSumProblem
from layerbits._base import Doubles
from layerbits.kernels import reference

_PLAIN_CHUNK = 4096  # 64 MiB of exponents at 4096 centers in float32


def numpy_log_density(problem: LogSumProblem, chunk: int) -> Doubles:
    """Compute log densities by the NumPy reference; its cdist computes in float64 for any dtype."""
    return reference.mixture_log_density(problem.points.numpy(), problem.centers.numpy(), problem.sigma, chunk=chunk)


def torch_log_density(problem: LogSumProblem) -> Tensor:
    """Compute log densities by cdist, square and logsumexp, in chunks of 4096 points."""
    centers, sigma = problem.centers, problem.sigma
    log_sums = [
        torch.logsumexp(-(torch.cdist(block, centers) ** 2) / (2 * sigma**2), dim=1)
        for block in torch.split(problem.points, _PLAIN_CHUNK)
    ]
    return torch.cat(log_sums) - problem.log_normalizer


def tuned_torch_log_density(problem: LogSumProblem, chunk: int) -> Tensor:
    """Compute log densities in place, in chunks of `chunk` points."""
    log_sums = [_torch_log_sum(block, problem.centers, problem.sigma) for block in torch.split(problem.points, chunk)]
    return torch.cat(log_sums) - problem.log_normalizer


def numpy_log_sums_of_groups(problem: LogSumProblem) -> Doubles:
    """Compute the log-sums of groups by a loop over the groups."""
    assert problem.point_offsets is not None
    assert problem.center_offsets is not None
    points = np.split(problem.points.numpy(), problem.point_offsets[1:-1].numpy())
    centers = np.split(problem.centers.numpy(), problem.center_offsets[1:-1].numpy())
    log_sums = [
        logsumexp(-cdist(*group, "sqeuclidean") / (2 * problem.sigma**2), axis=1)
        for group in zip(points, centers, strict=True)
    ]
    return np.concatenate(log_sums)


def torch_log_sums_of_groups(problem: LogSumProblem) -> Tensor:
    """Compute the log-sums of groups in one batch; all groups must have the same size."""
    assert problem.point_offsets is not None
    batch = len(problem.point_offsets) - 1
    points, centers = (tensor.view(batch, -1, problem.dim) for tensor in (problem.points, problem.centers))
    return _torch_log_sum(points, centers, problem.sigma).flatten()


def torch_gradient(problem: LogSumProblem, upstream: Tensor, *, chunk: int) -> tuple[Tensor, Tensor]:
    """Compute the gradients of points and centers chunk by chunk, forward and backward, to limit the memory."""
    points, centers = (tensor.detach().clone().requires_grad_() for tensor in (problem.points, problem.centers))
    for rows in torch.split(torch.arange(len(points)), chunk):
        exponents = torch.cdist(points[rows], centers).square() * (-0.5 / problem.sigma**2)
        torch.autograd.backward(torch.logsumexp(exponents, dim=1), upstream[rows])
    assert points.grad is not None
    assert centers.grad is not None
    return points.grad, centers.grad


def numpy_information(signals: dict[str, Tensor], sigma: float, *, queries: int) -> dict[str, float]:
    """Estimate I(X;T) of every layer from signals (n_inputs, draws, d) by the NumPy reference."""
    return {
        layer: reference.plug_in_information(signal.numpy(), sigma, queries=queries)
        for layer, signal in signals.items()
    }


def torch_information(signals: dict[str, Tensor], sigma: float, *, queries: int, chunk: int) -> dict[str, float]:
    """Estimate I(X;T) of every layer in torch.

    The signals are converted to float64, because cdist in float32 loses small distances, which matter at a small sigma.
    """
    return {
        layer: _torch_layer_information(signal.double(), sigma, queries, chunk) for layer, signal in signals.items()
    }


def _torch_layer_information(signals: Tensor, sigma: float, queries: int, chunk: int) -> float:
    n_inputs, draws, _ = signals.shape
    bases = signals[:, torch.arange(queries) % draws]
    generator = torch.Generator().manual_seed(0)
    points = bases + sigma * torch.randn(bases.shape, dtype=bases.dtype, generator=generator)
    conditional = _torch_log_sum(points, signals, sigma).flatten() - math.log(draws)
    blocks = torch.split(points.flatten(0, 1), chunk)
    marginal = torch.cat([_torch_log_sum(block, signals.flatten(0, 1), sigma) for block in blocks])
    return float((conditional - marginal + math.log(n_inputs * draws)).mean())


def _torch_log_sum(points: Tensor, centers: Tensor, sigma: float) -> Tensor:
    return torch.logsumexp(torch.cdist(points, centers).square_().mul_(-0.5 / sigma**2), dim=-1)
