"""Settings and tables of the experiment szt-tanh-orthonormal: singular values, distances and clusters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from layerbits.experiments.framework.configuration import require
from layerbits.experiments.szt.scatter import read_scatter
from layerbits.experiments.szt.settings import NoisySettings
from layerbits.geometry import binned_entropy, class_separation, pairwise_distance_histogram
from layerbits.training import load_checkpoint

ORTHONORMAL = "orthonormal"
VARIANTS = ("plain", ORTHONORMAL)
PAIR_KINDS = ("within", "between")

_HISTOGRAM_BINS = 60


@dataclasses.dataclass(frozen=True)
class OrthonormalSettings(NoisySettings):
    """Settings of the experiment with a Parseval step.

    Parameters
    ----------
    strength
        Strength of the Parseval step. Source: public code, from memory.
    regularized
        Weight matrices that the step changes: all, or hidden (not the output layer). The article does not say which.
    """

    strength: float = 3e-4
    regularized: str = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "strength", 0 < self.strength <= 0.5, "more than 0, and at most 0.5")
        require(self, "regularized", self.regularized in ("hidden", "all"), "hidden or all")


class SingularValue(NamedTuple):
    """A row of singular_values.csv; `number` counts the values of a layer in descending order, from 1 on."""

    variant: str
    epoch: int
    layer: str
    number: int
    value: float


class Distances(NamedTuple):
    """A row of distances.csv: the number of pairs of inputs whose points have a distance in [lower, upper)."""

    variant: str
    epoch: int
    kind: str  # within a class, or between two
    lower: float
    upper: float
    pairs: int


class Clustering(NamedTuple):
    """A row of clustering.csv: root mean square distances, ratio of scatters, and H(Bin(T)) in nats."""

    variant: str
    epoch: int
    within: float
    between: float
    scatter_ratio: float
    binned_entropy: float


def singular_values(config: OrthonormalSettings, network: torch.nn.Module, path: Path) -> Iterator[SingularValue]:
    """Yield the singular values of each weight matrix, from the checkpoints in the folder of a run."""
    for variant in VARIANTS:
        for epoch in config.measured_epochs:
            load_checkpoint(path / variant, epoch, network, run=config.identity(variant))
            for layer, module in network.named_children():
                if isinstance(module, torch.nn.Linear):
                    values = torch.linalg.svdvals(module.weight.detach().double()).tolist()
                    for number, value in enumerate(values, start=1):
                        yield SingularValue(variant, epoch, layer, number, value)


def distances(config: OrthonormalSettings, path: Path) -> Iterator[Distances]:
    """Yield the histograms of distances between the points in each scatter.csv of a run."""
    # The diagonal of [-1, 1]^3, plus 8 standard deviations of a coordinate of the difference of two noise vectors.
    largest_distance = 2 * 3**0.5 + 8 * 2**0.5 * config.sigma
    for variant in VARIANTS:
        for epoch, (labels, points) in read_scatter(path / variant).items():
            histogram = pairwise_distance_histogram(points, labels, _HISTOGRAM_BINS, range=(0.0, largest_distance))
            edges = histogram.edges.tolist()
            for kind, counts in (("within", histogram.within), ("between", histogram.between)):
                for row in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
                    yield Distances(variant, epoch, kind, *row)


def clustering(config: OrthonormalSettings, path: Path) -> Iterator[Clustering]:
    """Yield the measures of clusters of the points in each scatter.csv of a run."""
    for variant in VARIANTS:
        for epoch, (labels, points) in read_scatter(path / variant).items():
            separation = class_separation(points, labels)
            entropy = binned_entropy(points, 10 * config.sigma)
            yield Clustering(variant, epoch, separation.within, separation.between, separation.scatter_ratio, entropy)
