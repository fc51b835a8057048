"""Every method, layerbits and its rivals, as a call without arguments on the same problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks import peers as packages
from benchmarks import rivals
from benchmarks.problems import Problem
from benchmarks.rivals import Doubles
from benchmarks.timing import CHUNKS, fastest_chunk
from layerbits.estimators import layer_information
from layerbits.kernels import as_sigma, log_sum_exp_isotropic
from layerbits.mixtures import mixture_log_density
from layerbits.networks import NoisyModule, propagate

Method = tuple[str, torch.dtype]
Calls = dict[Method, Callable[[], Tensor | Doubles]]

DTYPES = (torch.float32, torch.float64)
NUMPY: Method = ("numpy", torch.float64)  # its cdist knows no other dtype
METHODS = (NUMPY, *((name, dtype) for name in ("layerbits", "torch", "tuned torch", "KeOps") for dtype in DTYPES))

_TUNED_ROWS = max(CHUNKS)


def log_density_calls(problem: Problem, chunks: dict[Method, int], peers: Sequence[str]) -> Calls:
    """All that compute every pair; of `peers` KeOps alone does."""
    calls: Calls = {NUMPY: partial(rivals.numpy_log_density, problem, chunk=chunks[NUMPY])}
    for dtype in DTYPES:
        given = problem.to(dtype)
        calls["layerbits", dtype] = partial(
            mixture_log_density, given.points, given.centers, given.sigma, method="dense"
        )
        calls["torch", dtype] = partial(rivals.torch_log_density, given)
        calls["tuned torch", dtype] = partial(rivals.tuned_torch_log_density, given, chunk=chunks["tuned torch", dtype])
        if "KeOps" in packages.installed(peers) and problem.dim <= packages.KEOPS_MOST_DIM:
            calls["KeOps", dtype] = partial(packages.keops_log_density, given)
    return calls


def fastest_chunks(problem: Problem) -> dict[Method, int]:
    """Return the chunk that serves each rival best here, from a part of the queries."""
    part = problem.first(_TUNED_ROWS)
    chunks = {NUMPY: fastest_chunk(partial(rivals.numpy_log_density, part))}
    for dtype in DTYPES:
        chunks["tuned torch", dtype] = fastest_chunk(partial(rivals.tuned_torch_log_density, part.to(dtype)))
    return chunks


def group_call(problem: Problem) -> Callable[[], Tensor]:
    return partial(
        log_sum_exp_isotropic,
        problem.points,
        problem.centers,
        as_sigma(problem.sigma),
        point_offsets=problem.point_offsets,
        center_offsets=problem.center_offsets,
    )


def gradient_calls(problem: Problem) -> tuple[Callable[[], Tensor], Callable[[], tuple[Tensor, ...]]]:
    """Return the forward call alone, and with the gradients of points, centers, weights and sigma."""
    weights = torch.ones(len(problem.centers), dtype=problem.points.dtype)
    given = [problem.points, problem.centers, as_sigma(problem.sigma), weights]
    wanted = [tensor.detach().clone().requires_grad_() for tensor in given]
    upstream = torch.ones(len(problem.points), dtype=torch.float64)

    def forward(arguments: Sequence[Tensor]) -> Tensor:
        points, centers, sigma, mass = arguments
        return log_sum_exp_isotropic(points, centers, sigma, weights=mass, method="dense")

    return partial(forward, given), lambda: torch.autograd.grad(forward(wanted), wanted, upstream)


def information_calls(
    noisy: NoisyModule, inputs: Tensor, *, draws: int, queries: int, chunk: int
) -> dict[str, Callable[[], dict[str, float]]]:
    """The plug-in I(X;T) of every layer from the inputs on: all methods propagate alike, with the same noise."""
    sigma = noisy.sigma
    assert sigma is not None  # the rivals know no other noise
    return {
        "numpy": lambda: rivals.numpy_information(propagate(noisy, inputs, draws=draws), sigma, queries=queries),
        "torch": lambda: rivals.torch_information(
            propagate(noisy, inputs, draws=draws), sigma, queries=queries, chunk=chunk
        ),
        "layerbits": lambda: {
            row.layer: row.plug_in
            for row in layer_information(noisy, inputs, draws=draws, queries=queries)
            if row.quantity == "I(X;T)"
        },
    }
