"""Measures of the test images' representations: clusters, distances within and between classes, similarity.

Networks are loaded from the checkpoints that `training` saved. An interrupted measurement continues from its tables.

- clustering.csv: variant, seed, epoch, layer, within, between, scatter_ratio, collapse (of `class_separation`), overlap
  (of the distance histograms), binned_entropy (two bins, nats). Noise is off.
- distances.csv: variant, seed, epoch, layer, kind (within, between), lower, upper, pairs. Histograms of the Euclidean
  distances between representations, within and between classes, for the first seed, with noise off. Empty bins are
  omitted.
- slices.csv: variant, seed, epoch, layer, quantity, value, lower, upper. SI_1(X;T) and SI_1(T;Y) of random slices, with
  noise in the measurement alone, for the first seed.
- similarity.csv: variant, seed, epoch, layer, noise (off, on), mean, q05, median, q95. Mean and quantiles, over the
  images, of the cosine similarity between an image's representations in the network and in the deterministic network of
  the same seed and epoch.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from layerbits._base import damaged_cell, progress
from layerbits.data import LabelledImages
from layerbits.experiments.cnn.network import build_network, deterministic_convolutions
from layerbits.experiments.cnn.settings import CnnConfig, Variant
from layerbits.experiments.cnn.slices import SlicedInformation, sliced_information
from layerbits.experiments.cnn.training import training_folder
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import read_table, write_table
from layerbits.geometry import binned_entropy, class_separation, pairwise_distance_histogram
from layerbits.kernels import NormalStream, RandomStream
from layerbits.networks import is_noisy, layer_activations, noise_of, propagate
from layerbits.training import load_checkpoint, single_threaded

_IMAGES_PER_PASS = 1000  # limits memory: the representations of two networks are compared at once
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


_Row = Clustering | Distances | Similarity | SlicedInformation
_Tables = Mapping[type[Any], list[Any]]
_FILES: Mapping[type[Any], str] = {
    Distances: "distances.csv",
    Similarity: "similarity.csv",
    SlicedInformation: "slices.csv",
    Clustering: "clustering.csv",
}


class _Checkpoint(NamedTuple):
    """The checkpoint of a network to measure."""

    seed: int
    variant: Variant
    epoch: int

    @property
    def key(self) -> tuple[str, int, int]:
        """The first three fields of the rows of this checkpoint."""
        return self.variant.name, self.seed, self.epoch


def measure(config: CnnConfig, folder: RunFolder, test: LabelledImages) -> None:
    """Measure the representations of the test images; write the tables that the module docstring lists."""
    tables = {row_type: read_table(folder.path / name, row_type) for row_type, name in _FILES.items()}
    for row_type, name in _FILES.items():
        for number, row in enumerate(tables[row_type], start=1):
            if row.layer not in config.layers:
                wanted = f"one of {', '.join(config.layers)}"
                raise damaged_cell(folder.path / name, number, "layer", row.layer, wanted)
    grid = itertools.product(config.trainings, config.measured_epochs)
    checkpoints = [_Checkpoint(seed, variant, epoch) for (seed, variant), epoch in grid]
    finished_checkpoints = _leading_checkpoints_with_rows(config, tables, checkpoints)
    keys = {checkpoint.key for checkpoint in finished_checkpoints}
    for rows in tables.values():
        rows[:] = [row for row in rows if row[:3] in keys]
    remaining_checkpoints = checkpoints[len(finished_checkpoints) :]
    images = test.to(config.device)
    measurements = (_measure_network(config, folder.path, images, checkpoint) for checkpoint in remaining_checkpoints)
    bar = progress(single_threaded(measurements), name="representations", total=len(remaining_checkpoints))
    last_save = time.monotonic()
    with deterministic_convolutions():
        for network_rows in bar:
            for row in network_rows:
                tables[type(row)].append(row)
            if time.monotonic() - last_save > _SECONDS_BETWEEN_SAVES:
                _save(folder.path, tables)
                last_save = time.monotonic()
        _save(folder.path, tables)
    folder.summary.update(_summary(config, tables))


def _leading_checkpoints_with_rows(
    config: CnnConfig, tables: _Tables, checkpoints: list[_Checkpoint]
) -> list[_Checkpoint]:
    """Return the checkpoints before the first one that lacks rows in a table."""
    keys = {row_type: {row[:3] for row in rows} for row_type, rows in tables.items()}
    finished_checkpoints = []
    for checkpoint in checkpoints:
        if any(checkpoint.key not in keys[row_type] for row_type in _row_types(config, checkpoint)):
            break
        finished_checkpoints.append(checkpoint)
    return finished_checkpoints


def _row_types(config: CnnConfig, checkpoint: _Checkpoint) -> list[type[Any]]:
    """Return the types of the rows that the tables have for a network."""
    row_types: list[type[Any]] = [Clustering]
    if checkpoint.seed == config.seed:
        row_types += [Distances, SlicedInformation]
    if checkpoint.variant.name != "deterministic":
        row_types.append(Similarity)
    return row_types


def _save(path: Path, tables: _Tables) -> None:
    for row_type, name in _FILES.items():
        write_table(path / name, row_type, tables[row_type])


def _measure_network(config: CnnConfig, path: Path, images: LabelledImages, checkpoint: _Checkpoint) -> list[_Row]:
    row_types = _row_types(config, checkpoint)
    model = _load_network(config, path, images, checkpoint)
    rows: list[_Row] = []
    for layer in config.layers:  # one layer at a time: the first layer takes half a gigabyte on MNIST
        points = layer_activations(model, images.inputs, layers=layer)[layer]
        # The largest distance of two vectors of tanh, so that the bins are the same at all epochs.
        diameter = 2 * math.sqrt(points.shape[1])
        histogram = pairwise_distance_histogram(points, images.labels, config.bins, range=(0, diameter))
        edges = histogram.edges.tolist()
        for kind in ("within", "between") if Distances in row_types else ():
            bins = zip(edges[:-1], edges[1:], getattr(histogram, kind).tolist(), strict=True)
            rows += [Distances(*checkpoint.key, layer, kind, *bin_) for bin_ in bins if bin_[-1]]
        separation = dataclasses.asdict(class_separation(points, images.labels))
        entropy = binned_entropy(points, edges=np.zeros(1))
        rows.append(Clustering(*checkpoint.key, layer, overlap=histogram.overlap, binned_entropy=entropy, **separation))
        if SlicedInformation in row_types:
            rows += sliced_information(config, checkpoint.key, layer, points, images.labels)
    if Similarity in row_types:
        deterministic_model = _load_network(
            config, path, images, checkpoint._replace(variant=config.training_variants[0])
        )
        rows += _similarities(config, checkpoint, (model, deterministic_model), images.inputs)
    return rows


def _similarities(
    config: CnnConfig, checkpoint: _Checkpoint, models: tuple[nn.Module, nn.Module], inputs: Tensor
) -> Iterator[Similarity]:
    """Yield the similarities of the first model to the second, the deterministic network, at each layer."""
    model, deterministic_model = models
    cosines: dict[tuple[str, str], list[Tensor]] = {}
    for number, batch in enumerate(torch.split(inputs, _IMAGES_PER_PASS)):
        reference = layer_activations(deterministic_model, batch, layers=config.layers)
        points_by_noise = {"off": layer_activations(model, batch, layers=config.layers)}
        if is_noisy(model):
            points_by_noise["on"] = _noisy_pass(
                model, batch, NormalStream(checkpoint.seed, RandomStream.SIMILARITY_NOISE, number)
            )
        for (noise, points), layer in itertools.product(points_by_noise.items(), config.layers):
            cosines.setdefault((layer, noise), []).append(cosine_similarity(points[layer], reference[layer]))
    for (layer, noise), batches in cosines.items():
        values = torch.cat(batches).double().numpy(force=True)
        quantiles = np.quantile(values, (0.05, 0.5, 0.95)).tolist()
        yield Similarity(*checkpoint.key, layer, noise, float(values.mean()), *quantiles)


def _noisy_pass(network: nn.Module, inputs: Tensor, random: NormalStream) -> dict[str, Tensor]:
    """Return the noisy value T of each layer; the noise of earlier layers is included."""
    signals = propagate(network, inputs, draws=1, seed=int(random.generator.integers(2**31)))
    noise = noise_of(network)
    return {layer: noise[layer].add(signal[:, 0], random.like(signal[:, 0])) for layer, signal in signals.items()}


def _load_network(config: CnnConfig, path: Path, images: LabelledImages, checkpoint: _Checkpoint) -> nn.Module:
    seed, variant, epoch = checkpoint
    model = build_network(config, variant, seed=seed, size=images.size).to(config.device)
    folder = training_folder(path, variant, seed)
    load_checkpoint(folder, epoch, model, run=config.identity(folder.name))
    return model


def _summary(config: CnnConfig, tables: _Tables) -> dict[str, float]:
    """Return means over the seeds after the last epoch, with noise off.

    The summary has overlap and binned entropy at each layer of the deterministic network and, at the last layer, the
    similarity of every other variant to the deterministic network.
    """
    summary = {}
    for layer, field in itertools.product(config.layers, ("overlap", "binned_entropy")):
        values = [
            getattr(row, field)
            for row in tables[Clustering]
            if (row.variant, row.epoch, row.layer) == ("deterministic", config.epochs, layer)
        ]
        summary[f"{field}_{layer}"] = float(np.mean(values))
    for variant in config.training_variants[1:]:
        means = [
            row.mean
            for row in tables[Similarity]
            if (row.variant, row.epoch, row.layer, row.noise) == (variant.name, config.epochs, config.layers[-1], "off")
        ]
        summary[f"similarity_{variant.name}"] = float(np.mean(means))
    return summary
