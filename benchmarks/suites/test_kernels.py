"""Log densities, gradients, and log-sums by group of centers, run by `pytest benchmarks`.

pytest-benchmark prints the methods for one problem side by side.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.harness import DEFAULT_CHUNK
from benchmarks.methods import (
    DTYPES,
    METHODS,
    NUMPY,
    PACKAGES,
    TREES,
    Method,
    gradient_calls,
    group_call,
    installed,
    log_density_calls,
    torch_gradient,
    torch_log_sums_of_groups,
    tree_calls,
)
from benchmarks.problems import LayerProblem, groups, mixture, trained_layers
from layerbits.mixtures import mixture_log_density

CHUNKS = {NUMPY: DEFAULT_CHUNK} | {("tuned torch", dtype): DEFAULT_CHUNK for dtype in DTYPES}


def _id(value: object) -> str:
    return " ".join(str(part).removeprefix("torch.") for part in value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("method", METHODS, ids=_id)
@pytest.mark.parametrize("dim", [2, 10, 128])
def test_log_density(benchmark: BenchmarkFixture, dim: int, method: Method) -> None:
    benchmark.group = f"log density, d = {dim}"
    calls = log_density_calls(mixture(4096, 2000, dim), CHUNKS, PACKAGES)
    if method not in calls:
        pytest.skip(f"{method[0]} is not installed; pip install '.[bench]'")
    calls[method]()  # KeOps compiles at the first call
    benchmark(calls[method])


@pytest.fixture(scope="module")
def late_layer() -> LayerProblem:
    return next(trained_layers([300], draws=8, queries=1, layers=[5]))


@pytest.mark.parametrize("method", ["dense", "pruned", "auto", *TREES])
def test_log_density_of_a_layer(benchmark: BenchmarkFixture, late_layer: LayerProblem, method: str) -> None:
    benchmark.group = "log density, layer 5 of the SZT network"
    problem = late_layer.problem
    if method not in TREES:
        benchmark(mixture_log_density, problem.points, problem.centers, problem.sigma, method=method)
    elif method in installed():
        benchmark(tree_calls(problem.to(torch.float64), [method])[method])
    else:
        pytest.skip(f"{method} is not installed; pip install '.[bench]'")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["layerbits", "torch"])
def test_log_sums_of_groups(benchmark: BenchmarkFixture, name: str, dtype: torch.dtype) -> None:
    benchmark.group = "log-sums of groups of 32 x 32"
    problem = groups(1024).to(dtype)
    if name == "layerbits":
        benchmark(group_call(problem))
    else:
        benchmark(torch_log_sums_of_groups, problem)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["forward alone", "layerbits", "torch"])
def test_gradient(benchmark: BenchmarkFixture, name: str, dtype: torch.dtype) -> None:
    benchmark.group = "gradients, d = 10"
    problem = mixture(4096, 2000, 10).to(dtype)
    if name == "torch":
        benchmark(torch_gradient, problem, torch.ones(2000, dtype=dtype), chunk=DEFAULT_CHUNK)
    else:
        forward, forward_and_backward = gradient_calls(problem)
        benchmark(forward if name == "forward alone" else forward_and_backward)
