"""Calls without arguments of layerbits and its rivals on the same problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.harness import CHUNKS, fastest_chunk
from benchmarks.methods import numpy_torch, packages
from benchmarks.problems import LogSumProblem
from layerbits._base import Doubles
from layerbits.estimators import layer_information
from layerbits.kernels import as_sigma, log_sum_exp_isotropic
from layerbits.mixtures import mixture_log_density
from layerbits.networks import GaussianNoise, noise_of, propagate

Method = tuple[str, torch.dtype]
Calls = dict[Method, Callable[[], Tensor | Doubles]]

DTYPES = (torch.float32, torch.float64)
NUMPY: Method = ("numpy", torch.float64)  # scipy's cdist has no other dtype
METHODS = (NUMPY, *((name, dtype) for name in ("layerbits", "torch", "tuned torch", "KeOps") for dtype in DTYPES))


def log_density_calls(problem: LogSumProblem, chunks: dict[Method, int], names: Sequence[str]) -> Calls:
    """Return the calls that compute every pair.

    KeOps is included if it is in `names` and installed, up to `KEOPS_MAX_DIM` dimensions.
    """
    calls: Calls = {NUMPY: partial(numpy_torch.numpy_log_density, problem, chunk=chunks[NUMPY])}
    for dtype in DTYPES:
        cast = problem.to(dtype)
        calls["layerbits", dtype] = partial(mixture_log_density, cast.points, cast.centers, cast.sigma, method="dense")
        calls["torch", dtype] = partial(numpy_torch.torch_log_density, cast)
        calls["tuned torch", dtype] = partial(
            numpy_torch.tuned_torch_log_density, cast, chunk=chunks["tuned torch", dtype]
        )
        if "KeOps" in packages.installed(names) and problem.dim <= packages.KEOPS_MAX_DIM:
            calls["KeOps", dtype] = partial(packages.keops_log_density, cast)
    return calls


def fastest_chunks(problem: LogSumProblem) -> dict[Method, int]:
    """Return the chunks with which NumPy and tuned torch are fastest on this machine at the first queries."""
    part = problem.first(max(CHUNKS))
    chunks = {NUMPY: fastest_chunk(partial(numpy_torch.numpy_log_density, part))}
    for dtype in DTYPES:
        chunks["tuned torch", dtype] = fastest_chunk(partial(numpy_torch.tuned_torch_log_density, part.to(dtype)))
    return chunks


def group_call(problem: LogSumProblem) -> Callable[[], Tensor]:
    """Return the call of layerbits that computes the log-sums of groups."""
    return partial(
        log_sum_exp_isotropic,
        problem.points,
        problem.centers,
        as_sigma(problem.sigma),
        point_offsets=problem.point_offsets,
        center_offsets=problem.center_offsets,
    )


def gradient_calls(problem: LogSumProblem) -> tuple[Callable[[], Tensor], Callable[[], tuple[Tensor, ...]]]:
    """Return two calls of layerbits: forward, and forward with the gradients of points, centers, weights and sigma."""
    weights = torch.ones(len(problem.centers), dtype=problem.points.dtype)
    arguments = [problem.points, problem.centers, as_sigma(problem.sigma), weights]
    variables = [tensor.detach().clone().requires_grad_() for tensor in arguments]
    upstream = torch.ones(len(problem.points), dtype=torch.float64)

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(_log_sums(*variables), variables, upstream)

    return partial(_log_sums, *arguments), gradients


def _log_sums(points: Tensor, centers: Tensor, sigma: Tensor, weights: Tensor) -> Tensor:
    return log_sum_exp_isotropic(points, centers, sigma, weights=weights, method="dense")


def information_calls(
    noisy: nn.Module, inputs: Tensor, *, draws: int, queries: int, chunk: int
) -> dict[str, Callable[[], dict[str, float]]]:
    """Return the calls that compute the plug-in I(X;T) of every layer, with noisy passes of the same seed."""
    (sigma,) = {noise.scale if isinstance(noise, GaussianNoise) else None for noise in noise_of(noisy).values()}
    assert isinstance(sigma, float)  # the rivals have no other noise
    return {
        "numpy": lambda: numpy_torch.numpy_information(propagate(noisy, inputs, draws=draws), sigma, queries=queries),
        "torch": lambda: numpy_torch.torch_information(
            propagate(noisy, inputs, draws=draws), sigma, queries=queries, chunk=chunk
        ),
        "layerbits": lambda: {
            row.layer: row.plug_in
            for row in layer_information(noisy, inputs, draws=draws, queries=queries, estimator="draws")
            if row.quantity == "I(X;T)"
        },
    }
