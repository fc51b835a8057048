"""`pytest benchmarks`: estimators, from the inputs of a network or the centers of a mixture to nats."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.harness import DEFAULT_CHUNK
from benchmarks.methods import information_calls
from benchmarks.problems import mixture, noisy_szt_network
from layerbits.kernels import reference
from layerbits.mixtures import mixture_entropy


@pytest.mark.parametrize("method", ["layerbits", "torch", "numpy"])
def test_layer_information(benchmark: BenchmarkFixture, method: str) -> None:
    benchmark.group = "information of all layers, 256 inputs"
    noisy, inputs = noisy_szt_network(256)
    benchmark(information_calls(noisy, inputs, draws=8, queries=4, chunk=DEFAULT_CHUNK)[method])


@pytest.mark.parametrize("method", ["layerbits", "numpy"])
def test_mixture_entropy(benchmark: BenchmarkFixture, method: str) -> None:
    benchmark.group = "entropy of a mixture, 2000 draws"
    problem = mixture(1024, 1, 5)
    centers = problem.centers.numpy()
    if method == "layerbits":
        benchmark(mixture_entropy, centers, problem.sigma, tolerance=None, max_draws=2000)
    else:
        benchmark(reference.mixture_entropy, centers, problem.sigma, draws=2000)
