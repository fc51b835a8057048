"""`pytest benchmarks`: log densities, log-sums of groups, gradients; the rivals of a problem form a group."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import rivals
from benchmarks.calls import DTYPES, METHODS, NUMPY, Method, gradient_call, group_calls, log_density_calls
from benchmarks.problems import mixture, ragged
from benchmarks.timing import CHUNKS

CHUNK = CHUNKS[1]
CHUNK_OF = {NUMPY: CHUNK} | {("tuned torch", dtype): CHUNK for dtype in DTYPES}


def _id(value: object) -> str:
    return " ".join(str(part).removeprefix("torch.") for part in value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("method", METHODS, ids=_id)
@pytest.mark.parametrize("dim", [2, 10, 128])
def test_log_density(benchmark: BenchmarkFixture, dim: int, method: Method) -> None:
    benchmark.group = f"log density, d = {dim}"
    benchmark(log_density_calls(mixture(4096, 2000, dim), CHUNK_OF)[method])


@pytest.mark.parametrize("method", METHODS, ids=_id)
def test_log_sums_of_groups(benchmark: BenchmarkFixture, method: Method) -> None:
    benchmark.group = "log-sums of ragged groups"
    benchmark(group_calls(ragged(1024))[method])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["layerbits", "torch"])
def test_gradient(benchmark: BenchmarkFixture, name: str, dtype: torch.dtype) -> None:
    benchmark.group = "gradients, d = 10"
    problem = mixture(4096, 2000, 10).to(dtype)
    upstream = torch.ones(2000, dtype=dtype)
    if name == "layerbits":
        benchmark(gradient_call(problem, upstream))
    else:
        benchmark(rivals.torch_gradient, problem, upstream, chunk=CHUNK)
