"""The experiment sample-complexity: the error of the plug-in entropy by number of samples and dimension.

Signals are corners of the cube, so that the true entropy is known. A run writes risk.csv (sigma, probability, dim,
samples, mean_error, risk, standard_error), bounds.csv (sigma, dim, samples, bound, value, vacuous), slopes.csv (sigma,
probability, dim, slope, standard_error), needed.csv (sigma, dim, source, log_samples) and sample-complexity.png.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from layerbits.experiments.entropy.bounds import COVERING, FINITE_SUPPORT, PAPER, Bound, risk_bounds
from layerbits.experiments.entropy.sample_complexity.errors import Cell, Risk, measure_risk
from layerbits.experiments.entropy.sample_complexity.figures import plot_figure
from layerbits.experiments.entropy.sample_complexity.rates import (
    SamplesNeeded,
    Slope,
    fit_slopes,
    measured_source,
    samples_needed,
)
from layerbits.experiments.entropy.sample_complexity.settings import Config
from layerbits.experiments.framework.experiment import START_SECONDS, Experiment
from layerbits.experiments.framework.run_folder import RunFolder
from layerbits.experiments.framework.tables import fill_table, write_table

# Seconds on one thread of Zen 4.
_CALL_SECONDS = 1.1e-3  # per plug-in
_PAIR_SECONDS = 1.3e-9  # per query and center


class SampleComplexity(Experiment[Config]):
    """Measure the mean error of the plug-in entropy, its exponents, and the number of samples for a given error."""

    def expected_seconds(self, config: Config) -> float:
        """Estimate the duration of a run on two Zen 4 cores, in seconds."""
        curves = config.repeats * len(config.sigmas) * len(config.probabilities) * len(config.samples)
        return START_SECONDS + curves * sum(
            _CALL_SECONDS + config.draws * 2.0**dim * _PAIR_SECONDS for dim in config.dims
        )

    def measure(self, config: Config, folder: RunFolder) -> None:
        """Measure the risks, fit their slopes and compute the bounds; write all tables."""
        bounds = risk_bounds((FINITE_SUPPORT, COVERING, PAPER), config.sigmas, config.dims, config.samples)
        write_table(folder.path / "bounds.csv", Bound, bounds)
        grid = itertools.product(config.sigmas, config.probabilities, config.dims, config.samples)
        cells = [Cell(number, *settings) for number, settings in enumerate(grid)]
        measure = functools.partial(measure_risk, config)
        risks = fill_table(
            folder.path / "risk.csv", Risk, cells, measure, key=lambda cell: cell[1:], single_thread=True
        )
        slopes = list(fit_slopes(risks))
        write_table(folder.path / "slopes.csv", Slope, slopes)
        needed_rows = list(samples_needed(config, risks))
        write_table(folder.path / "needed.csv", SamplesNeeded, needed_rows)
        folder.summary.update(_summary(config, slopes, needed_rows))

    def plot(self, config: Config, path: Path) -> None:
        """Plot risks and numbers of samples."""
        plot_figure(config, path, self.name)


def _summary(config: Config, slopes: Sequence[Slope], needed_rows: Sequence[SamplesNeeded]) -> dict[str, float]:
    """Return the mean exponent of n over the dimensions, and the growth of the needed samples per dimension."""
    summary: dict[str, float] = {}
    for sigma, probability in itertools.product(config.sigmas, config.probabilities):
        case = f"at_{probability:g}_sigma_{sigma:g}"
        exponents = [row.slope for row in slopes if (row.sigma, row.probability) == (sigma, probability)]
        if exponents:
            summary[f"slope_{case}"] = float(np.mean(exponents))
        source = measured_source(probability)
        # The condition excludes NaN: all or none of the measured numbers of samples reach the error.
        measured_rows = [
            row for row in needed_rows if (row.sigma, row.source) == (sigma, source) and row.log_samples > 0
        ]
        if len(measured_rows) >= 2:
            slope, _ = np.polyfit([row.dim for row in measured_rows], [row.log_samples for row in measured_rows], 1)
            summary[f"growth_{case}"] = math.exp(slope)
    return summary


SAMPLE_COMPLEXITY = SampleComplexity(
    name="sample-complexity",
    description="Error of the plug-in entropy against the number of samples and the dimension, beside its bounds.",
    config_type=Config,
    quick={
        "dims": (1, 2, 4, 6, 8),
        "samples": tuple(4**power for power in range(1, 11)),
        "repeats": 32,
        "draws": 2048,
    },
)
