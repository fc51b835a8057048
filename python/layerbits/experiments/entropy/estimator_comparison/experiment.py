"""The experiment estimator-comparison: estimators of the entropy of a noisy mixture with known entropy.

A run writes estimates.csv (estimator, sigma, dim, samples, repeat, value, standard_error, lower, upper, truth),
bounds.csv (sigma, dim, samples, bound, value, vacuous), slopes.csv (estimator, sigma, dim, first_samples, last_samples,
slope, standard_error), estimator-comparison.png and estimator-comparison-errors.png.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from layerbits.experiments.entropy.bounds import COVERING, PAPER, Bound, risk_bounds
from layerbits.experiments.entropy.entropy_estimators import (
    BINNING,
    KDE,
    NEIGHBOURS,
    PLUG_IN,
    EstimatorSettings,
    NoisySample,
    estimate_entropy,
    expected_queries,
)
from layerbits.experiments.entropy.estimator_comparison.figures import plot_errors, plot_estimates
from layerbits.experiments.entropy.estimator_comparison.mixture import coordinate_entropy, sample
from layerbits.experiments.entropy.estimator_comparison.rates import Slope, fit_slopes, mean_errors
from layerbits.experiments.entropy.estimator_comparison.settings import Config, EstimateRow
from layerbits.experiments.framework.experiment import START_SECONDS, Experiment
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import fill_table, write_table
from layerbits.kernels import RandomStream, derived_seed

# Seconds on two cores of Zen 4.
_CALL_SECONDS = 0.015  # per estimate
_QUERY_SECONDS = 4.5e-10  # per query and center of a plug-in
_NEIGHBOUR_SECONDS = 1.5e-5  # per sample
_PAIR_SECONDS = 6e-9  # per pair of samples of a KDE
_BIN_SECONDS = 9e-7  # per sample
_QUERIES = 25_000  # typical number for a plug-in at a tolerance of 0.01


class _Cell(NamedTuple):
    estimator: str
    sigma: float
    dim: int
    samples: int
    repeat: int


class EstimatorComparison(Experiment[Config]):
    """Compare estimators of the entropy of a noisy mixture with its true entropy."""

    def expected_seconds(self, config: Config) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        queries = expected_queries(config.tolerance, at_hundredth=_QUERIES)
        seconds = {
            PLUG_IN: lambda n: _QUERY_SECONDS * queries * n,
            NEIGHBOURS: lambda n: _NEIGHBOUR_SECONDS * n,
            KDE: lambda n: _PAIR_SECONDS * n**2,
            BINNING: lambda n: _BIN_SECONDS * n,
        }
        return START_SECONDS + math.fsum(
            _CALL_SECONDS + seconds[cell.estimator](cell.samples) for cell in _cells(config)
        )

    def measure(self, config: Config, folder: RunFolder) -> None:
        """Estimate the entropies, fit slopes and compute the bounds; write all tables."""
        bounds = risk_bounds((COVERING, PAPER), config.sigmas, config.dims, config.samples)
        write_table(folder.path / "bounds.csv", Bound, bounds)
        rows = fill_table(
            folder.path / "estimates.csv", EstimateRow, _cells(config), functools.partial(_estimate, config), key=tuple
        )
        slopes = list(fit_slopes(config, rows))
        write_table(folder.path / "slopes.csv", Slope, slopes)
        folder.summary.update(_summary(config, rows, slopes))

    def plot(self, config: Config, path: Path) -> None:
        """Plot estimates and errors."""
        plot_estimates(config, path, self.name)
        plot_errors(config, path, self.name)


def _cells(config: Config) -> list[_Cell]:
    """Return the cells of estimates.csv, in ascending order of the number of samples."""
    max_samples = {NEIGHBOURS: config.max_neighbour_samples, KDE: config.max_kde_samples}
    grid = itertools.product(config.samples, config.dims, config.sigmas, config.estimators, range(config.repeats))
    return [
        _Cell(estimator, sigma, dim, samples, repeat)
        for samples, dim, sigma, estimator, repeat in grid
        if samples <= max_samples.get(estimator, samples)
    ]


def _estimate(config: Config, cell: _Cell) -> EstimateRow:
    estimator, sigma, dim, samples, repeat = cell
    settings = EstimatorSettings(config.tolerance, config.neighbours, config.folds, config.bin_size)
    noisy_sample = NoisySample(*sample(config, dim, samples, repeat), sigma)
    seed = derived_seed(config.seed, RandomStream.ESTIMATOR_SEED, dim, samples, repeat)
    estimate = estimate_entropy(estimator, noisy_sample, settings, seed=seed)
    return EstimateRow(*cell, *estimate, truth=dim * coordinate_entropy(sigma, config.spread))


def _summary(config: Config, rows: Sequence[EstimateRow], slopes: Sequence[Slope]) -> dict[str, float]:
    """Return mean errors over all sigma at the largest number of samples, and mean slopes of the plug-in."""
    summary: dict[str, float] = {}
    for dim, estimator in itertools.product(config.dims, dict.fromkeys(row.estimator for row in rows)):
        errors = [
            point for sigma in config.sigmas for point in mean_errors(rows, sigma, dim) if point.estimator == estimator
        ]
        samples = max(point.samples for point in errors)
        name = f"{estimator.lower()}_error_d_{dim}_n_{samples}"
        summary[name] = float(np.mean([point.error for point in errors if point.samples == samples]))
    for dim in config.dims:
        exponents = [slope.slope for slope in slopes if (slope.estimator, slope.dim) == (PLUG_IN, dim)]
        if exponents:
            summary[f"plug-in_slope_d_{dim}"] = float(np.mean(exponents))
    return summary


ESTIMATOR_COMPARISON = EstimatorComparison(
    name="estimator-comparison",
    description="Entropy of a noisy mixture by the plug-in, nearest neighbours, a kernel density and bins, against "
    "samples and truth.",
    config_type=Config,
    quick={
        "samples": (10, 32, 100, 316, 1000, 3162, 10_000, 31_623),
        "max_neighbour_samples": 10_000,
        "max_kde_samples": 3162,
        "repeats": 3,
        "tolerance": 0.01,
    },
)
