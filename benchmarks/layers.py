"""The layers of the SZT network while it is trained: real centers and queries, at the paper's sigma."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch

from benchmarks.problems import Problem
from layerbits.data import szt_dataset
from layerbits.experiments.szt.noisy_network import SZT_TANH
from layerbits.networks import propagate
from layerbits.training import Batches, single_threaded, train


@dataclasses.dataclass(frozen=True, eq=False)
class LayerProblem:
    """`problem` has the signals of all inputs and draws as centers, and noisy copies of some of them as points."""

    layer: int
    epoch: int
    problem: Problem


def trained_layers(epochs: Sequence[int], *, draws: int, queries: int, layers: Sequence[int]) -> Iterator[LayerProblem]:
    """Train to the last of `epochs`, as szt-tanh does, and yield `layers`, from 1, at each; with `queries` an input."""
    config, data = SZT_TANH.config_type(), szt_dataset()
    noisy = SZT_TANH.network(config)
    optimizer = torch.optim.Adam(noisy.parameters(), lr=config.learning_rate, fused=True)
    batches = Batches(data.inputs, data.labels, batch_size=config.batch_size, seed=config.seed)
    trained = train(noisy, optimizer, batches, range(1, max(epochs) + 1))
    generator = torch.Generator().manual_seed(config.seed)
    for epoch in single_threaded(trained):
        if epoch not in epochs:
            continue
        signals = propagate(noisy, data.inputs, draws=draws, seed=config.seed)
        for layer in layers:
            centers = signals[noisy.layer_names[layer - 1]]
            bases = centers[:, torch.arange(queries) % draws].flatten(0, 1)
            points = bases + config.sigma * torch.randn(bases.shape, generator=generator)
            name = f"layer {layer}, epoch {epoch}"
            yield LayerProblem(layer, epoch, Problem(name, points, centers.flatten(0, 1), config.sigma))
