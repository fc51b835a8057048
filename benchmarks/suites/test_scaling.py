"""`pytest benchmarks`: the time of a call by centers, points, dimensions and threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.problems import LogSumProblem, cube, mixture
from layerbits.kernels.back_ends import cpu
from layerbits.mixtures import mixture_log_density

CORES = cpu().usable_cores()


def _run(benchmark: BenchmarkFixture, group: str, problem: LogSumProblem, method: str = "dense") -> None:
    benchmark.group = group
    benchmark(mixture_log_density, problem.points, problem.centers, problem.sigma, method=method)


@pytest.mark.parametrize("n", [256, 4096, 65_536])
def test_centers(benchmark: BenchmarkFixture, n: int) -> None:
    _run(benchmark, "by n; m = 1000, d = 10", mixture(n, 1000, 10))


@pytest.mark.parametrize("m", [16, 256, 4096, 65_536])
def test_points(benchmark: BenchmarkFixture, m: int) -> None:
    _run(benchmark, "by m; n = 1000, d = 10", mixture(1000, m, 10))


@pytest.mark.parametrize("d", [1, 3, 10, 30, 100, 1000, 4096])
def test_dimensions(benchmark: BenchmarkFixture, d: int) -> None:
    _run(benchmark, "by d; n = m = 1000", mixture(1000, 1000, d))


@pytest.mark.parametrize("method", ["dense", "pruned"])
@pytest.mark.parametrize("n", [4096, 16_384, 65_536])
def test_centers_and_points(benchmark: BenchmarkFixture, n: int, method: str) -> None:
    _run(benchmark, f"by n = m; d = 3, {method}", cube(n), method)


@pytest.fixture
def torch_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("torch_threads")
@pytest.mark.parametrize("torch_threads", range(1, CORES + 1), indirect=True)
def test_threads(benchmark: BenchmarkFixture) -> None:
    _run(benchmark, "by threads; n = m = 4096, d = 10", mixture(4096, 4096, 10))
