"""`pytest benchmarks`: parts of the experiments; `layerbits run` writes the times of a full run into run.json."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from layerbits.data import szt_dataset
from layerbits.estimators import layer_information
from layerbits.experiments.szt import szt_tanh
from layerbits.networks import propagate
from layerbits.training import single_threaded, train

DRAWS = 8


@pytest.fixture(scope="module")
def config() -> szt_tanh.Config:
    return szt_tanh.Config()


def test_ten_epochs_of_szt_tanh(benchmark: BenchmarkFixture, config: szt_tanh.Config) -> None:
    noisy, data = szt_tanh.network(config), szt_dataset()
    optimizer = torch.optim.Adam(noisy.parameters(), lr=config.learning_rate, fused=True)

    def ten_epochs() -> None:
        epochs = train(
            noisy, optimizer, data.inputs, data.labels,
            epochs=range(1, 11), batch_size=config.batch_size, seed=config.seed,
        )  # fmt: skip
        for _ in single_threaded(epochs):
            pass

    benchmark(ten_epochs)


def test_signals_of_szt_tanh(benchmark: BenchmarkFixture, config: szt_tanh.Config) -> None:
    noisy, data = szt_tanh.network(config), szt_dataset()
    benchmark(propagate, noisy, data.inputs, draws=DRAWS)


def test_information_of_szt_tanh(benchmark: BenchmarkFixture, config: szt_tanh.Config) -> None:
    noisy, data = szt_tanh.network(config), szt_dataset()
    benchmark(layer_information, noisy, data.inputs, data.labels, draws=DRAWS)
