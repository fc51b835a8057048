"""The experiment szt-binning: binned entropies of a tanh network on the SZT data (Figure 1 of the paper).

The I(X;T) of a deterministic network is H(T), log 4096 if all activations differ, while H(Bin(T)) changes with the size
of the bins. In a noisy network H(Bin(T)), as a measure of clusters, is compared with I(X;T). The networks are
trained in float32 and binned in float64, so that rounding does not act as bins.

A run writes training.csv and binned.csv (columns: `Binned`) into the folders deterministic and noisy, information.csv
and scatter.csv into the folder noisy, and tracking.csv (columns: `Tracking`), szt-binning.png, szt-binning-noisy.png
and szt-binning-planes.png.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.special import entr
from torch import nn

from layerbits._base import Doubles
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import fill_table, read_table, write_table
from layerbits.experiments.szt.binning_figures import plot_deterministic, plot_noisy, plot_planes
from layerbits.experiments.szt.binning_tables import (
    DETERMINISTIC,
    ENTROPY_OF_S,
    ENTROPY_OF_T,
    NOISY,
    Binned,
    BinningSettings,
    Bins,
    Pair,
    Tracking,
    binned_curve,
    read_pairs,
)
from layerbits.experiments.szt.network import noisy_network, plain_network
from layerbits.experiments.szt.scatter import save_scatter
from layerbits.experiments.szt.training import final_accuracy, train_network
from layerbits.geometry import binned_information, quantile_edges, szt_edges
from layerbits.kernels import NormalStream, RandomStream
from layerbits.networks import is_noisy, layer_activations, noise_of, propagate
from layerbits.training import load_checkpoint

# Seconds of the entropies of one epoch in both networks, and of the figures, on Zen 4.
_BINNING_SECONDS = 0.23
_FIGURE_SECONDS = 7.0


class BinningExperiment(Experiment[BinningSettings]):
    """Binned entropies of a deterministic and of a noisy network with the same initial weights."""

    def expected_seconds(self, config: BinningSettings) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        binning = _BINNING_SECONDS * config.measurements
        return 2 * config.training_seconds + config.measuring_seconds + binning + _FIGURE_SECONDS

    def network(self, config: BinningSettings, variant: str) -> nn.Module:
        """Make the untrained network, ``deterministic`` or ``noisy``."""
        return noisy_network(config, config.sigma) if variant == NOISY else plain_network(config)

    def train(self, config: BinningSettings, folder: RunFolder) -> None:
        """Train both networks; write training.csv, checkpoints and, for the noisy network, information.csv."""
        for variant in (DETERMINISTIC, NOISY):
            train_network(config, self.network(config, variant), folder, variant=variant)

    def measure(self, config: BinningSettings, folder: RunFolder) -> None:
        """Bin the layers of both networks at the measured epochs and compare the entropies with the information."""
        save_scatter(config, noisy_network(config, config.sigma), folder.path, variant=NOISY)
        for variant in (DETERMINISTIC, NOISY):
            self._bin(config, folder.path / variant)
            folder.summary[f"{variant}_test_accuracy"] = final_accuracy(folder.path / variant)
        _summarize_deterministic(config, folder)
        _track(config, folder)

    def plot(self, config: BinningSettings, path: Path) -> None:
        """Save szt-binning.png and, once there is an information.csv, the other two figures."""
        plot_deterministic(config, path / DETERMINISTIC, path / f"{self.name}.png")
        if (path / NOISY / "information.csv").exists():
            plot_noisy(config, path / NOISY, path / f"{self.name}-noisy.png")
            plot_planes(config, path, path / f"{self.name}-planes.png")

    def _bin(self, config: BinningSettings, path: Path) -> None:
        """Compute the binned entropies of the network in a folder and write binned.csv."""
        quantities, kinds = [ENTROPY_OF_T], config.deterministic_bins
        if path.name == NOISY:
            quantities, kinds = [ENTROPY_OF_T, ENTROPY_OF_S], config.noisy_bins
        cells = list(itertools.product(config.measured_epochs, config.layers, quantities, kinds))
        model = self.network(config, path.name).double().to(config.device)
        clouds = functools.lru_cache(maxsize=1)(functools.partial(_clouds, config, path, model))

        def binned_row(cell: tuple[int, str, str, Bins]) -> Binned:
            epoch, layer, quantity, bins = cell
            cloud = clouds(epoch)[layer, quantity]
            entropy, information = _binned_values(config, cloud.points, bins)
            return Binned(
                epoch, layer, quantity, bins.estimator, bins.size,
                entropy, information, cloud.entropy, cloud.distinct_points,
            )  # fmt: skip

        def key(cell: tuple[int, str, str, Bins]) -> tuple[object, ...]:
            return *cell[:3], cell[3].estimator, cell[3].size

        fill_table(path / "binned.csv", Binned, cells, binned_row, key=key, single_thread=True)


@dataclasses.dataclass(frozen=True)
class _Cloud:
    """Points of equal weight, shape (n, d), their entropy in nats without bins, and the number of distinct points."""

    points: Doubles
    entropy: float
    distinct_points: int


def _cloud(points: Doubles) -> _Cloud:
    counts = np.unique(points, axis=0, return_counts=True)[1]
    return _Cloud(points, float(entr(counts / counts.sum()).sum()), len(counts))


def _clouds(config: BinningSettings, path: Path, model: nn.Module, epoch: int) -> dict[tuple[str, str], _Cloud]:
    """Return the points of each layer and quantity at an epoch."""
    load_checkpoint(path, epoch, model, run=config.identity(path.name))
    return {key: _cloud(points) for key, points in _points(config, model)}


def _points(config: BinningSettings, model: nn.Module) -> Iterator[tuple[tuple[str, str], Doubles]]:
    """Yield each pair of layer and quantity with its points, shape (4096, d)."""
    inputs = config.data().inputs.double()
    if not is_noisy(model):
        for layer, activations in layer_activations(model, inputs).items():
            yield (layer, ENTROPY_OF_T), activations.numpy(force=True)
        return
    for number, (layer, signals) in enumerate(propagate(model, inputs, draws=1, seed=config.seed).items()):
        signal = signals[:, 0]
        noise = NormalStream(config.seed, RandomStream.BINNED_NOISE, number).like(signal)
        yield (layer, ENTROPY_OF_S), signal.numpy(force=True)
        yield (layer, ENTROPY_OF_T), noise_of(model)[layer].add(signal, noise).numpy(force=True)


def _binned_values(config: BinningSettings, points: Doubles, bins: Bins) -> tuple[float, float]:
    """Return the binned entropy of the points, and their binned information about the class Y."""
    edges = None
    if bins.estimator != "fixed":
        edges = szt_edges(config.szt_bins) if bins.estimator == "szt" else quantile_edges(points, config.quantile_bins)
    bin_size = bins.size if edges is None else None
    estimate = binned_information(points, bin_size, labels=config.data().labels, edges=edges)
    assert estimate.label_information is not None  # there are labels
    return estimate.value, estimate.label_information


def _summarize_deterministic(config: BinningSettings, folder: RunFolder) -> None:
    rows = read_table(folder.path / DETERMINISTIC / "binned.csv", Binned)
    for bins in config.deterministic_bins:
        if bins.estimator == "fixed":
            values = [value for _, value in binned_curve(rows, config.layers[-1], ENTROPY_OF_T, bins)]
            for name, value in {"first": values[0], "peak": max(values), "final": values[-1]}.items():
                folder.summary[f"last_layer_{name}_at_{bins.size:g}"] = value
    folder.summary["smallest_deterministic_information"] = min(row.ceiling for row in rows)


def _track(config: BinningSettings, folder: RunFolder) -> None:
    """Correlate the binned entropies of the noisy network with its I(X;T) and write tracking.csv."""
    pairs, epochs = read_pairs(folder.path / NOISY), config.measured_epochs
    # The second start is the middle of the logarithmic axis. In earlier epochs the weights grow: points spread over
    # more bins, but the noise of earlier layers grows too.
    starts = dict.fromkeys((epochs[0], epochs[len(epochs) // 2]))
    rows = [
        _tracking(pairs, quantity, layer, start)
        for quantity, layer, start in itertools.product((ENTROPY_OF_T, ENTROPY_OF_S), ("all", *config.layers), starts)
    ]
    write_table(folder.path / "tracking.csv", Tracking, rows)
    for row in rows:
        if row.quantity == ENTROPY_OF_T and row.layer in ("all", config.layers[-1]):
            folder.summary[f"rank_correlation_of_{row.layer}_from_epoch_{row.from_epoch}"] = row.rank_correlation


def _tracking(pairs: Sequence[Pair], quantity: str, layer: str, start: int) -> Tracking:
    points = [
        (pair.information, pair.entropy)
        for pair in pairs
        if pair.quantity == quantity and layer in ("all", pair.layer) and pair.epoch >= start
    ]
    from scipy.stats import spearmanr  # imported here because the import takes half a second

    # Log densities of float32 signals have errors of some 1e-6 nats: smaller differences, at log N, are not ranked.
    columns = np.round(points, 6)
    is_constant = np.ptp(columns, axis=0).min() == 0
    correlation = math.nan if is_constant else float(spearmanr(columns).statistic)
    return Tracking(quantity, layer, start, len(points), correlation)


SZT_BINNING = BinningExperiment(
    name="szt-binning",
    description=(
        "Binned entropies of a tanh network on the SZT data, which are not its information (Figure 1 of the paper)."
    ),
    config_type=BinningSettings,
    # A larger learning rate gives the same curves in fewer epochs.
    quick={
        "epochs": 1000,
        "learning_rate": 2e-3,
        "batch_size": 256,
        "evaluations": 50,
        "measurements": 16,
        "draws": 16,
    },
)
