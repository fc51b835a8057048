"""Every method, layerbits and its rivals, as a call without arguments on the same problem."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks import rivals
from benchmarks.problems import Problem
from benchmarks.rivals import Doubles
from benchmarks.timing import CHUNKS, fastest_chunk
from layerbits.information import layer_information
from layerbits.kernels import as_sigma, log_sum_exp
from layerbits.mixture import mixture_log_density
from layerbits.noise import NoisyModule
from layerbits.propagation import propagate

Method = tuple[str, torch.dtype]
Calls = dict[Method, Callable[[], Tensor | Doubles]]

DTYPES = (torch.float32, torch.float64)
NUMPY: Method = ("numpy", torch.float64)  # its cdist knows no other dtype
METHODS = (NUMPY, *((name, dtype) for name in ("layerbits", "torch", "tuned torch") for dtype in DTYPES))

_TUNED_ROWS = max(CHUNKS)


def log_density_calls(problem: Problem, chunks: dict[Method, int]) -> Calls:
    calls: Calls = {NUMPY: partial(rivals.numpy_log_density, problem, chunk=chunks[NUMPY])}
    for dtype in DTYPES:
        given = problem.to(dtype)
        calls["layerbits", dtype] = partial(mixture_log_density, given.points, given.centers, given.sigma)
        calls["torch", dtype] = partial(rivals.torch_log_density, given)
        calls["tuned torch", dtype] = partial(rivals.tuned_torch_log_density, given, chunk=chunks["tuned torch", dtype])
    return calls


def group_calls(problem: Problem) -> Calls:
    calls: Calls = {NUMPY: partial(rivals.numpy_log_sums_of_groups, problem)}
    for dtype in DTYPES:
        given = problem.to(dtype)
        calls["layerbits", dtype] = partial(
            log_sum_exp,
            given.points,
            given.centers,
            as_sigma(given.sigma),
            point_offsets=given.point_offsets,
            center_offsets=given.center_offsets,
        )
        calls["torch", dtype] = partial(rivals.torch_log_sums_of_groups, given)
    return calls


def gradient_call(problem: Problem, upstream: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """Forward and gradients of points and centers."""
    points, centers = (tensor.detach().clone().requires_grad_() for tensor in (problem.points, problem.centers))

    def call() -> tuple[Tensor, Tensor]:
        log_sums = log_sum_exp(points, centers, as_sigma(problem.sigma))
        d_points, d_centers = torch.autograd.grad(log_sums, (points, centers), upstream.double())
        return d_points, d_centers

    return call


def information_calls(
    noisy: NoisyModule, inputs: Tensor, *, draws: int, queries: int, chunk: int
) -> dict[str, Callable[[], dict[str, float]]]:
    """I(X;T) of every layer from the inputs on: all methods propagate alike, with the same noise."""
    return {
        "numpy": lambda: rivals.numpy_information(propagate(noisy, inputs, draws=draws), noisy.sigma, queries=queries),
        "torch": lambda: rivals.torch_information(
            propagate(noisy, inputs, draws=draws), noisy.sigma, queries=queries, chunk=chunk
        ),
        "layerbits": lambda: {
            row.layer: row.value
            for row in layer_information(noisy, inputs, draws=draws, queries=queries)
            if row.quantity == "I(X;T)"
        },
    }


def fastest_chunks(problem: Problem) -> dict[Method, int]:
    """Return the chunk that serves each rival best here, from a part of the queries."""
    part = problem.first(_TUNED_ROWS)
    chunks = {NUMPY: fastest_chunk(partial(rivals.numpy_log_density, part))}
    for dtype in DTYPES:
        chunks["tuned torch", dtype] = fastest_chunk(partial(rivals.tuned_torch_log_density, part.to(dtype)))
    return chunks
