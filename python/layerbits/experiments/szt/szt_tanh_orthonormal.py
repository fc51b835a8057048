"""The network of szt-tanh with and without orthonormal weights, which take compression and clusters away.

In the folders plain and orthonormal the files of szt-tanh, but for its figure. Beside them singular_values.csv
(variant, epoch, layer, number, value), distances.csv (variant, epoch, kind, lower, upper, pairs: of inputs by the
distance of their points of scatter.csv, within a class or between two), clustering.csv (variant, epoch, within,
between, scatter_ratio, binned_entropy), szt-tanh-orthonormal.png and szt-tanh-orthonormal-weights.png.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from layerbits import plots
from layerbits.experiments.framework.configuration import require
from layerbits.experiments.framework.run_folder import RunFolder, save_figure
from layerbits.experiments.framework.tables import read_table, write_table
from layerbits.experiments.szt import study as szt
from layerbits.geometry import binned_entropy, class_separation, pairwise_distance_histogram
from layerbits.networks import NoisyModule
from layerbits.training import ParsevalRegularizer, load_checkpoint, read_training

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VARIANTS = ("plain", "orthonormal")

_BINS = 60
_KINDS = ("within", "between")
_PARSEVAL_PART = 0.2  # of the time of a step of training


@dataclasses.dataclass(frozen=True)
class Config(szt.NoisySettings):
    """Settings. [R]: recalled from public code."""

    strength: float = 3e-4  # [R] of the Parseval step
    regularized: str = "all"  # weight matrices, which the article does not say; "hidden": not the output layer's

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        UsageError
            If one is out of range.
        """
        super().__post_init__()
        require(self, "strength", 0 < self.strength <= 0.5, "more than 0, and at most 0.5")
        require(self, "regularized", self.regularized in ("hidden", "all"), "hidden or all")


# Larger steps go the same way in fewer epochs; those of the optimizer and of Parseval grow alike.
QUICK: Mapping[str, Any] = {
    "epochs": 1400,
    "learning_rate": 1e-3,
    "strength": 7.5e-4,
    "batch_size": 256,
    "evaluations": 100,
    "measurements": 10,
    "draws": 16,
}


class SingularValue(NamedTuple):
    """A row of singular_values.csv; `number` counts those of a layer from the largest on."""

    variant: str
    epoch: int
    layer: str
    number: int
    value: float


class Distances(NamedTuple):
    """A row of distances.csv: how many pairs of inputs have points that are from `lower` to below `upper` apart."""

    variant: str
    epoch: int
    kind: str  # within a class, or between two
    lower: float
    upper: float
    pairs: int


class Clustering(NamedTuple):
    """A row of clustering.csv: root mean square distances, their ratio of scatters, and H(Bin(T)) in nats."""

    variant: str
    epoch: int
    within: float
    between: float
    scatter_ratio: float
    binned_entropy: float


def expected_seconds(config: Config) -> float:
    """Return about how many seconds a run takes on two cores."""
    return len(VARIANTS) * szt.study_seconds(config) + _PARSEVAL_PART * szt.training_seconds(config)


def network(config: Config) -> NoisyModule:
    """Make the untrained noisy network, which is that of szt-tanh."""
    return szt.noisy_network(config, config.sigma)


def parseval(config: Config, noisy: NoisyModule) -> ParsevalRegularizer:
    """Make the regularizer of the weight matrices of a network."""
    hidden = [f"linear{place}" for place in range(1, len(config.widths) + 1)]
    layers = hidden if config.regularized == "hidden" else None
    return ParsevalRegularizer(noisy, strength=config.strength, layers=layers)


def run(config: Config, folder: RunFolder) -> None:
    """Train, measure and draw, each going on from what `folder` holds."""
    train(config, folder)
    with folder.phase("figures"):
        measure(config, folder)
        draw(config, folder.path)


def train(config: Config, folder: RunFolder) -> None:
    """Train the network without and with the Parseval step, from the same weights by the same batches and noise."""
    for variant in VARIANTS:
        noisy = network(config)
        step = parseval(config, noisy).step if variant == "orthonormal" else None
        tables = szt.train(config, noisy, folder, variant=variant, after_step=step)
        folder.summary.update(szt.summary(folder.path / variant, tables, prefix=f"{variant}_"))


def measure(config: Config, folder: RunFolder) -> None:
    """Measure weights and clusters; leaves scatter.csv of each variant, and the tables of both."""
    noisy = network(config)
    for variant in VARIANTS:
        szt.save_scatter(config, noisy, folder, variant=variant)
    write_table(folder.path / "singular_values.csv", SingularValue, _singular_values(config, noisy, folder.path))
    write_table(folder.path / "distances.csv", Distances, _distances(config, folder.path))
    clusters = list(_clustering(config, folder.path))
    write_table(folder.path / "clustering.csv", Clustering, clusters)
    for row in clusters:  # the last epoch of each variant stays
        folder.summary[f"{row.variant}_scatter_ratio"] = row.scatter_ratio
        folder.summary[f"{row.variant}_binned_entropy"] = row.binned_entropy


def draw(config: Config, path: Path) -> None:
    """Draw both figures from the tables in a folder, as far as they go."""
    save_figure(_information_figure(config, path), path / "szt-tanh-orthonormal.png")
    save_figure(_weights_figure(path), path / "szt-tanh-orthonormal-weights.png")


def _information_figure(config: Config, path: Path) -> Figure:
    shown = config.shown_epochs
    figure = plots.new_figure(width=11, height=13.5)
    *spaces, curves = figure.subfigures(3, 1, squeeze=False, height_ratios=(1, 1, 3.4))[:, 0]
    for variant, space in zip(VARIANTS, spaces, strict=True):
        space.suptitle(f"{variant}: points of the last hidden layer")
        panels = space.subplots(1, len(shown), subplot_kw={"projection": "3d"}, squeeze=False)
        szt.draw_scatter(panels[0], path / variant)
    rows = curves.subplots(3, len(VARIANTS), sharex=True, sharey="row", height_ratios=(1.4, 1, 1))
    for variant, column in zip(VARIANTS, rows.T, strict=True):
        column[0].set_title(variant)
        szt.draw_information(column[0], path / variant)
        szt.draw_losses(column[1], path / variant)
        _draw_errors(column[2], config, path / variant)
        for axes in column:
            plots.mark_epochs(axes, shown)
            axes.label_outer()
    curves.align_ylabels()
    _legends(rows, ("95 % intervals", None, "one standard error"))
    return figure


def _draw_errors(axes: Axes, config: Config, path: Path) -> None:
    rows = read_training(path / "training.csv") if (path / "training.csv").exists() else []
    shares = {"train": 1 - config.test_fraction, "test": config.test_fraction}
    for (split, share), color in zip(shares.items(), plots.CLASS_COLORS, strict=True):
        epochs = [row.epoch for row in rows if row.split == split]
        error = 1 - np.array([row.accuracy for row in rows if row.split == split])
        spread = np.sqrt(error * (1 - error) / (share * 4096))
        axes.fill_between(epochs, error - spread, error + spread, color=color, alpha=0.3, linewidth=0)
        axes.plot(epochs, error, color=color, label=split)
    plots.curve_panel(axes, xlabel="epoch", ylabel="share of errors")
    axes.set_yscale("log")


def _weights_figure(path: Path) -> Figure:
    values = read_table(path / "singular_values.csv", SingularValue)
    distances = read_table(path / "distances.csv", Distances)
    figure = plots.new_figure(width=11, height=8)
    rows = figure.subplots(2, len(VARIANTS), sharey="row")
    for variant, (above, below) in zip(VARIANTS, rows.T, strict=True):
        above.set_title(variant)
        _draw_singular_values(above, [row for row in values if row.variant == variant])
        _draw_distances(below, [row for row in distances if row.variant == variant])
    for axes in rows[:, 1:].flat:
        axes.set_ylabel("")
    _legends(rows, (None, "pairs of inputs"))
    return figure


def _draw_singular_values(axes: Axes, values: list[SingularValue]) -> None:
    layers = list(dict.fromkeys(row.layer for row in values))
    for layer, color in zip(layers, plots.sequence_colors(len(layers)), strict=True):
        of_layer = [row for row in values if row.layer == layer]
        for number in range(1, 1 + max(row.number for row in of_layer)):
            curve = [row for row in of_layer if row.number == number]
            label = layer if number == 1 else None
            axes.plot([row.epoch for row in curve], [row.value for row in curve], color=color, linewidth=1, label=label)
    plots.curve_panel(axes, xlabel="epoch", ylabel="singular values of the weights")
    axes.set_yscale("log")


def _draw_distances(axes: Axes, distances: list[Distances]) -> None:
    axes.set_xlabel("distance in the last hidden layer")
    axes.set_ylabel("share of the pairs")
    axes.spines[["top", "right"]].set_visible(False)
    if not distances:
        return
    last = max(row.epoch for row in distances)
    for kind, color in zip(_KINDS, plots.CLASS_COLORS, strict=True):
        rows = [row for row in distances if (row.epoch, row.kind) == (last, kind)]
        counts = np.array([row.pairs for row in rows], dtype=np.float64)
        edges = [rows[0].lower, *(row.upper for row in rows)]
        axes.stairs(counts / counts.sum(), edges, fill=True, color=color, alpha=0.5, label=f"{kind} classes")
    axes.set_xlabel(f"distance in the last hidden layer, epoch {last}")


def _legends(rows: npt.NDArray[Any], titles: tuple[str | None, ...]) -> None:
    for (first, *_, last), title in zip(rows, titles, strict=True):
        handles, labels = first.get_legend_handles_labels()
        last.legend(
            handles, labels, title=title, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, alignment="left"
        )


def _singular_values(config: Config, noisy: NoisyModule, path: Path) -> Iterator[SingularValue]:
    for variant in VARIANTS:
        for epoch in config.measured_epochs:
            load_checkpoint(path / variant, epoch, noisy)
            for layer, module in noisy.model.named_children():
                if isinstance(module, torch.nn.Linear):
                    values = torch.linalg.svdvals(module.weight.detach().double()).tolist()
                    for number, value in enumerate(values, start=1):
                        yield SingularValue(variant, epoch, layer, number, value)


def _distances(config: Config, path: Path) -> Iterator[Distances]:
    # The diagonal of the cube that tanh maps to, and 8 deviations of the difference of two noises beyond it.
    reach = 2 * 3**0.5 + 8 * 2**0.5 * config.sigma
    for variant in VARIANTS:
        for epoch, (labels, points) in szt.read_scatter(path / variant).items():
            found = pairwise_distance_histogram(points, labels, _BINS, range=(0.0, reach))
            edges = found.edges.tolist()
            for kind in _KINDS:
                for row in zip(edges[:-1], edges[1:], getattr(found, kind).tolist(), strict=True):
                    yield Distances(variant, epoch, kind, *row)


def _clustering(config: Config, path: Path) -> Iterator[Clustering]:
    for variant in VARIANTS:
        for epoch, (labels, points) in szt.read_scatter(path / variant).items():
            found = class_separation(points, labels)
            entropy = binned_entropy(points, 10 * config.sigma)
            yield Clustering(variant, epoch, found.within, found.between, found.scatter_ratio, entropy)
