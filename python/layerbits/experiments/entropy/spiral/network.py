"""The network of the experiment spiral: its training, its decisions, and samples of its last hidden layer."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils import skip_init

from layerbits._base import Doubles
from layerbits.data import SpiralData, spiral_dataset
from layerbits.experiments.entropy.spiral.settings import CLASSES, WIDTHS, Config
from layerbits.experiments.framework.tables import write_table
from layerbits.kernels import RandomStream, standard_normal, stream
from layerbits.networks import noise_of, noisify, propagate
from layerbits.training import Batches, Checkpoints, TrainingCurves, TrainingSession, log_spaced, train

GRID_EDGE = 1.15  # half of the side of the map of decisions; the data are in the unit disc


class LabelledPoint(NamedTuple):
    """A row of spiral.csv."""

    x: float
    y: float
    label: int


class Decision(NamedTuple):
    """A row of decision.csv: shares of the noisy passes that choose each class."""

    x: float
    y: float
    p0: float
    p1: float
    p2: float


def build_network(config: Config) -> nn.Module:
    """Return the untrained network: two inputs, tanh layers of 8, 9 and 10 units with noise, three logits."""
    generator = torch.Generator().manual_seed(config.seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise((2, *WIDTHS, CLASSES)):
        # skip_init, because torch's own initialization would use the global generator.
        linear: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
        nn.init.normal_(linear.weight, std=inputs**-0.5, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return noisify(nn.Sequential(*layers[:-1]), sigma=config.sigma, inputs=torch.zeros(1, 2))


def train_network(config: Config, path: Path) -> None:
    """Train the network; write training.csv, spiral.csv and the checkpoint of the last epoch to the folder `path`."""
    network = build_network(config)
    splits: dict[str, SpiralData] = {
        name: spiral_dataset(config.points, stream(config.seed, RandomStream.SPIRAL_SPLIT, key), classes=CLASSES)
        for key, name in enumerate(("train", "test"))
    }
    inputs, labels = splits["train"]
    points = (LabelledPoint(*point) for point in zip(*inputs.T.tolist(), labels.tolist(), strict=True))
    write_table(path / "spiral.csv", LabelledPoint, points)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    batches = Batches(inputs, labels, batch_size=config.batch_size, seed=config.seed)
    checkpoints = Checkpoints(network, optimizer, at=(config.epochs,), directory=path, run=config.identity())
    evaluated_epochs = log_spaced(1, config.epochs, config.evaluations)
    curves = TrainingCurves(network, splits, at=evaluated_epochs, directory=path)
    session = TrainingSession(checkpoints, curves, seed=config.seed)
    session.run(functools.partial(train, network, optimizer, batches), epochs=config.epochs)


def sample_layer(config: Config, network: nn.Module, samples: int, repeat: int) -> tuple[Doubles, Doubles]:
    """Sample inputs; return signals of the last hidden layer and standard normal noise for it, both (samples, d)."""
    random = stream(config.seed, RandomStream.SPIRAL_SAMPLES, samples, repeat)
    inputs, layer = spiral_dataset(samples, random, classes=CLASSES).inputs, list(noise_of(network))[-1]
    seed = int(random.integers(2**31))
    signals = propagate(network, inputs, draws=1, seed=seed, layers=layer)[layer][:, 0].double().numpy()
    return signals, standard_normal(signals.shape, random, torch.float64).numpy()


def decisions(config: Config, network: nn.Module) -> list[Decision]:
    """Compute, at the points of a grid, the share of noisy passes that choose each class."""
    axis = np.linspace(-GRID_EDGE, GRID_EDGE, config.grid)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    layer, logits = list(noise_of(network))[-1], network.get_submodule(str(2 * len(WIDTHS)))
    inputs = torch.from_numpy(points).float()
    signals = propagate(network, inputs, draws=config.passes, seed=config.seed, layers=layer)[layer]
    noise = standard_normal(signals.shape, stream(config.seed, RandomStream.SPIRAL_DECISIONS), signals.dtype)
    with torch.no_grad():
        classes = logits(signals + config.sigma * noise).argmax(-1)
    shares = torch.nn.functional.one_hot(classes, CLASSES).double().mean(1)
    return [Decision(*point, *share) for point, share in zip(points.tolist(), shares.tolist(), strict=True)]
