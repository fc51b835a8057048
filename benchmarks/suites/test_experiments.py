"""`pytest benchmarks`: parts of the experiment szt-tanh; run.json has the times of a full run."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from layerbits.data import szt_dataset
from layerbits.estimators import layer_information
from layerbits.experiments.szt.noisy_network import SZT_TANH
from layerbits.experiments.szt.settings import NoisySettings
from layerbits.networks import propagate
from layerbits.training import Batches, single_threaded, train

DRAWS = 8


@pytest.fixture(scope="module")
def config() -> NoisySettings:
    return SZT_TANH.config_type()


def test_ten_epochs_of_szt_tanh(benchmark: BenchmarkFixture, config: NoisySettings) -> None:
    noisy, data = SZT_TANH.network(config), szt_dataset()
    optimizer = torch.optim.Adam(noisy.parameters(), lr=config.learning_rate, fused=True)

    def ten_epochs() -> None:
        batches = Batches(data.inputs, data.labels, batch_size=config.batch_size, seed=config.seed)
        epochs = train(noisy, optimizer, batches, range(1, 11))
        for _ in single_threaded(epochs):
            pass

    benchmark(ten_epochs)


def test_signals_of_szt_tanh(benchmark: BenchmarkFixture, config: NoisySettings) -> None:
    noisy, data = SZT_TANH.network(config), szt_dataset()
    benchmark(propagate, noisy, data.inputs, draws=DRAWS)


def test_information_of_szt_tanh(benchmark: BenchmarkFixture, config: NoisySettings) -> None:
    noisy, data = SZT_TANH.network(config), szt_dataset()
    benchmark(layer_information, noisy, data.inputs, data.labels, draws=DRAWS)
