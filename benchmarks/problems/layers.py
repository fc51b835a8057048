"""Log-sum problems from layers of SZT networks: signals as centers, noisy values as points, sigma = 0.005."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch

from benchmarks.problems.log_sums import PAPER_SIGMA, LogSumProblem, sample_queries
from benchmarks.problems.networks import noisy_szt_network, train_szt_network
from layerbits.data import szt_dataset
from layerbits.experiments.szt.noisy_network import SZT_TANH
from layerbits.networks import propagate


@dataclasses.dataclass(frozen=True, eq=False)
class LayerProblem:
    """A layer, counted from 1, after some epochs of training: all signals as centers, noisy values as points."""

    layer: int
    epoch: int
    problem: LogSumProblem


def szt_layer(n: int, m: int, *, layer: int, seed: int = 0) -> LogSumProblem:
    """Return the problem of `m` queries at a layer, counted from 1, of a network with random weights and `n` inputs.

    Few pairs contribute to the result, and in float32 |a|^2 + |b|^2 - 2ab causes errors of hundredths of a nat.
    """
    noisy, inputs = noisy_szt_network(n, sigma=PAPER_SIGMA, seed=seed)
    signals = propagate(noisy, inputs, draws=1, seed=seed)
    centers = signals[list(signals)[layer - 1]][:, 0]
    generator = torch.Generator().manual_seed(seed)
    name = f"SZT layer, d = {centers.shape[1]}"
    return LogSumProblem(name, sample_queries(centers, m, PAPER_SIGMA, generator), centers, PAPER_SIGMA)


def trained_layers(epochs: Sequence[int], *, draws: int, queries: int, layers: Sequence[int]) -> Iterator[LayerProblem]:
    """Train the network of szt-tanh on all inputs, and yield the `layers`, counted from 1, after each of `epochs`.

    A problem has `draws` centers and `queries` points for each input.
    """
    config, inputs = SZT_TANH.config_type(), szt_dataset().inputs
    noisy, training = train_szt_network(config, range(1, max(epochs) + 1))
    generator = torch.Generator().manual_seed(config.seed)
    for epoch in training:
        if epoch not in epochs:
            continue
        signals = propagate(noisy, inputs, draws=draws, seed=config.seed)
        for layer in layers:
            centers = signals[list(signals)[layer - 1]]
            bases = centers[:, torch.arange(queries) % draws].flatten(0, 1)
            points = bases + config.sigma * torch.randn(bases.shape, generator=generator)
            name = f"layer {layer}, epoch {epoch}"
            yield LayerProblem(layer, epoch, LogSumProblem(name, points, centers.flatten(0, 1), config.sigma))
