"""What the studies of a convolutional network measure of the test images: clusters, distances, similarity.

Reads the checkpoints that `cnn` leaves and goes on with tables that are half made. Knows nothing of training.

- clustering.csv: variant, seed, epoch, layer, within, between, scatter_ratio, collapse (of `class_separation`), overlap
  (of the histograms), binned_entropy (two bins, nats); noise off
- distances.csv: variant, seed, epoch, layer, kind (within, between), lower, upper, pairs; Euclidean, of images of one
  class and of two, first seed, noise off; bins without pairs are left out
- similarity.csv: variant, seed, epoch, layer, noise (off, on), mean, q05, median, q95; of the cosine of each image's
  representation and that in the deterministic network of the same seed and epoch
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from layerbits._base import progress
from layerbits.data import LabelledImages
from layerbits.experiments.cnn.study import CnnConfig, Data, Variant, network, repeatable_convolutions, training_folder
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import read_table, write_table
from layerbits.geometry import binned_entropy, class_separation, pairwise_distance_histogram
from layerbits.kernels import NormalStream
from layerbits.networks import NoisyModule, layer_activations, propagate
from layerbits.training import load_checkpoint, single_threaded

_ROWS = 1000  # images of which representations of two networks are held together
_SECONDS_BETWEEN_SAVES = 10.0


class Clustering(NamedTuple):
    """A row of clustering.csv."""

    variant: str
    seed: int
    epoch: int
    layer: str
    within: float
    between: float
    scatter_ratio: float
    collapse: float
    overlap: float
    binned_entropy: float


class Distances(NamedTuple):
    """A row of distances.csv."""

    variant: str
    seed: int
    epoch: int
    layer: str
    kind: str
    lower: float
    upper: float
    pairs: int


class Similarity(NamedTuple):
    """A row of similarity.csv."""

    variant: str
    seed: int
    epoch: int
    layer: str
    noise: str
    mean: float
    q05: float
    median: float
    q95: float


# In the order in which they are saved: what the last has is in all.
_TABLES: Mapping[type[Any], str] = {
    Distances: "distances.csv",
    Similarity: "similarity.csv",
    Clustering: "clustering.csv",
}


def measure(config: CnnConfig, folder: RunFolder, data: Data) -> None:
    """Measure the representations of the test images; leaves clustering.csv, distances.csv and similarity.csv."""
    tables: dict[type[Any], list[Any]] = {kind: read_table(folder.path / name, kind) for kind, name in _TABLES.items()}
    held = {kind: {(row.seed, row.variant, row.epoch) for row in rows} for kind, rows in tables.items()}
    kept: set[tuple[int, str, int]] = set()
    cells: list[tuple[int, Variant, int]] = []
    for (seed, variant), epoch in itertools.product(config.trainings, config.measured_epochs):
        key = (seed, variant.name, epoch)
        lost = (
            key not in held[Clustering]
            or (key not in held[Distances] and seed == config.seed)
            or (key not in held[Similarity] and variant.name != "deterministic")
        )
        if cells or lost:  # all after it too, so that the order stays
            cells.append((seed, variant, epoch))
        else:
            kept.add(key)
    for rows in tables.values():
        rows[:] = [row for row in rows if (row.seed, row.variant, row.epoch) in kept]
    saved = time.monotonic()
    test = data[1].to(config.device)
    measured = (_measure_one(config, folder.path, test, *cell) for cell in cells)
    with folder.phase("representations"), repeatable_convolutions():
        for rows in progress(single_threaded(measured), name="representations", total=len(cells)):
            for row in rows:
                tables[type(row)].append(row)
            if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                _save(folder.path, tables)
                saved = time.monotonic()
        _save(folder.path, tables)
    folder.summary.update(_summary(config, tables[Clustering], tables[Similarity]))


def _save(path: Path, tables: Mapping[type[Any], Iterable[Any]]) -> None:
    for kind, name in _TABLES.items():
        write_table(path / name, kind, tables[kind])


def _measure_one(
    config: CnnConfig, path: Path, test: LabelledImages, seed: int, variant: Variant, epoch: int
) -> list[Clustering | Distances | Similarity]:
    model = _trained(config, path, variant, seed, epoch, test)
    key = (variant.name, seed, epoch)
    rows: list[Clustering | Distances | Similarity] = []
    for layer in config.layers:  # one at a time: the first of MNIST takes half a gigabyte
        points = layer_activations(model, test.inputs, layers=layer)[layer]
        widest = 2 * math.sqrt(points.shape[1])  # tanh lies within [-1, 1], so edges are the same for all epochs
        found = pairwise_distance_histogram(points, test.labels, config.bins, range=(0, widest))
        for kind in ("within", "between") if seed == config.seed else ():
            bins = zip(found.edges[:-1].tolist(), found.edges[1:].tolist(), getattr(found, kind).tolist(), strict=True)
            rows += [Distances(*key, layer, kind, *each) for each in bins if each[-1]]
        entropy = binned_entropy(points, edges=np.zeros(1))
        separation = dataclasses.asdict(class_separation(points, test.labels))
        rows.append(Clustering(*key, layer, overlap=found.overlap, binned_entropy=entropy, **separation))
    if variant.name != "deterministic":
        deterministic = _trained(config, path, config.trained[0], seed, epoch, test)
        rows += _similarities(config, key, model, deterministic, test.inputs)
    return rows


def _similarities(
    config: CnnConfig, key: tuple[str, int, int], model: nn.Module, deterministic: nn.Module, inputs: Tensor
) -> Iterator[Similarity]:
    cosines: dict[tuple[str, str], list[Tensor]] = {}
    for number, some in enumerate(torch.split(inputs, _ROWS)):
        reference = layer_activations(deterministic, some, layers=config.layers)
        modes = {"off": layer_activations(model, some, layers=config.layers)}
        if isinstance(model, NoisyModule):
            modes["on"] = _noisy_pass(model, some, (key[1], number))
        for (noise, points), layer in itertools.product(modes.items(), config.layers):
            cosines.setdefault((layer, noise), []).append(cosine_similarity(points[layer], reference[layer]))
    for (layer, noise), parts in cosines.items():
        values = torch.cat(parts).double().numpy(force=True)
        yield Similarity(*key, layer, noise, float(values.mean()), *np.quantile(values, (0.05, 0.5, 0.95)).tolist())


def _noisy_pass(noisy: NoisyModule, inputs: Tensor, key: tuple[int, int]) -> dict[str, Tensor]:
    """Return T of each layer, with its noise and that of the layers before it."""
    random = NormalStream(*key)
    signals = propagate(noisy, inputs, draws=1, seed=int(random.generator.integers(2**31)))
    return {layer: noisy.noise[layer].add(signal[:, 0], random.like(signal[:, 0])) for layer, signal in signals.items()}


def _trained(config: CnnConfig, path: Path, variant: Variant, seed: int, epoch: int, test: LabelledImages) -> nn.Module:
    model = network(config, variant, seed=seed, size=test.size).to(config.device)
    load_checkpoint(training_folder(path, variant, seed), epoch, model)
    return model


def _summary(
    config: CnnConfig, clustering: Sequence[Clustering], similarities: Sequence[Similarity]
) -> dict[str, float]:
    """Means over the seeds after the last epoch; of the clustering, in the deterministic network."""
    summary = {}
    for layer, field in itertools.product(config.layers, ("overlap", "binned_entropy")):
        rows = [
            row for row in clustering if (row.variant, row.epoch, row.layer) == ("deterministic", config.epochs, layer)
        ]
        summary[f"{field}_{layer}"] = float(np.mean([getattr(row, field) for row in rows]))
    last = [row for row in similarities if (row.epoch, row.layer) == (config.epochs, config.layers[-1])]
    for variant in config.trained[1:]:
        means = [row.mean for row in last if (row.variant, row.noise) == (variant.name, "off")]
        summary[f"similarity_{variant.name}"] = float(np.mean(means))
    return summary
