"""The experiment spiral: the entropy of a layer of a noisy network that classifies the arms of a spiral.

A noisy tanh network is trained on points of the plane. Then the entropy of its last hidden layer is estimated from
samples, each with new inputs and new noise. A run writes training.csv, checkpoints/, spiral.csv (x, y, label: the
training points), decision.csv (x, y, p0, p1, p2), reference.csv (samples, lower, plug_in, cross_entropy, upper),
estimates.csv (estimator, samples, repeat, value, standard_error, lower, upper) and spiral.png.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from layerbits.experiments.entropy.entropy_estimators import (
    KDE,
    NEIGHBOURS,
    PLUG_IN,
    EstimatorSettings,
    NoisySample,
    estimate_entropy,
    expected_queries,
)
from layerbits.experiments.entropy.spiral.figures import plot_figure
from layerbits.experiments.entropy.spiral.network import Decision, build_network, decisions, sample_layer, train_network
from layerbits.experiments.entropy.spiral.reference import Reference, entropy_interval
from layerbits.experiments.entropy.spiral.settings import WIDTHS, Config, EstimateRow
from layerbits.experiments.framework.experiment import Experiment
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import fill_table, write_table
from layerbits.training import load_checkpoint, read_training

_ESTIMATORS = (PLUG_IN, NEIGHBOURS, KDE)

# Seconds on two cores of Zen 4.
_START_SECONDS = 5.5
_STEP_SECONDS = 1e-3  # per training step
_QUERY_SECONDS = 9e-10  # per query and center of a plug-in
_PAIR_SECONDS = 1.2e-8  # per pair of samples of a KDE
_QUERIES = 600_000  # typical number for a plug-in at a tolerance of 0.01

_Cell = tuple[int, str, int]  # samples, estimator, repeat


class Spiral(Experiment[Config]):
    """Estimate the entropy of a layer of a network that classifies the arms of a spiral."""

    def expected_seconds(self, config: Config) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        train_seconds = config.epochs * math.ceil(config.points / config.batch_size) * _STEP_SECONDS
        plug_in_seconds = _QUERY_SECONDS * expected_queries(config.tolerance, at_hundredth=_QUERIES)  # per sample
        pairs = sum(samples**2 for samples in config.samples if samples <= config.max_kde_samples)
        estimate_seconds = config.repeats * (plug_in_seconds * sum(config.samples) + _PAIR_SECONDS * pairs)
        reference_seconds = config.reference_repeats * plug_in_seconds * config.reference_samples
        return _START_SECONDS + train_seconds + estimate_seconds + reference_seconds

    def train(self, config: Config, folder: RunFolder) -> None:
        """Train the network; write training.csv, spiral.csv and a checkpoint."""
        train_network(config, folder.path)

    def measure(self, config: Config, folder: RunFolder) -> None:
        """Estimate the entropy and an interval for it; write decision.csv, reference.csv and estimates.csv."""
        network = build_network(config)
        load_checkpoint(folder.path, config.epochs, network, run=config.identity())
        write_table(folder.path / "decision.csv", Decision, decisions(config, network))
        measure = functools.partial(entropy_interval, network=network)
        (reference,) = fill_table(folder.path / "reference.csv", Reference, [config], measure, key=lambda _: ())
        rows = fill_table(
            folder.path / "estimates.csv",
            EstimateRow,
            _cells(config),
            functools.partial(_estimate, config, network),
            key=lambda cell: (cell[1], cell[0], cell[2]),
        )
        folder.summary["test_accuracy"] = read_training(folder.path / "training.csv")[-1].accuracy
        folder.summary.update(_summary(reference, rows))

    def plot(self, config: Config, path: Path) -> None:
        """Plot the decisions and the estimates."""
        plot_figure(config, path, self.name)


def _cells(config: Config) -> list[_Cell]:
    grid = itertools.product(config.samples, _ESTIMATORS, range(config.repeats))
    return [cell for cell in grid if cell[1] != KDE or cell[0] <= config.max_kde_samples]


def _estimate(config: Config, network: nn.Module, cell: _Cell) -> EstimateRow:
    samples, estimator, repeat = cell
    settings = EstimatorSettings(config.tolerance, config.neighbours, config.folds, bin_size=math.nan)
    noisy_sample = NoisySample(*sample_layer(config, network, samples, repeat), config.sigma)
    estimate = estimate_entropy(estimator, noisy_sample, settings, seed=config.seed)
    return EstimateRow(estimator, samples, repeat, *estimate)


def _summary(reference: Reference, rows: Sequence[EstimateRow]) -> dict[str, float]:
    """Return the entropy with its interval, and the mean errors of the estimators at their largest samples."""
    entropy = (reference.lower + reference.upper) / 2
    summary = {
        "entropy": entropy,
        "entropy_lower": reference.lower,
        "entropy_upper": reference.upper,
        "entropy_per_unit": entropy / WIDTHS[-1],
    }
    for estimator in dict.fromkeys(row.estimator for row in rows):
        samples = max(row.samples for row in rows if row.estimator == estimator)
        values = [row.value for row in rows if (row.estimator, row.samples) == (estimator, samples)]
        summary[f"{estimator.lower()}_of_{samples}_less_entropy"] = float(np.mean(values)) - entropy
    return summary


SPIRAL = Spiral(
    name="spiral",
    description="Entropy of the last hidden layer of a noisy network that classifies the arms of a spiral, by three "
    "estimators.",
    config_type=Config,
    quick={
        "samples": (10, 32, 100, 316, 1000, 3162),
        "max_kde_samples": 3162,
        "reference_samples": 16_384,
        "grid": 50,
    },
)
