"""Mean errors of the estimators, and the exponents of n in them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from layerbits.experiments.entropy.estimator_comparison.settings import Config, EstimateRow

_SAMPLES_PER_CORNER = 3  # at the first point of a fit, so that most corners have samples
_SMALLEST_FIT = 3  # points


class MeanError(NamedTuple):
    """Mean absolute error over the repeats.

    `integration` is the part that the integration of plug-ins may cause, 0 for other estimators.
    """

    estimator: str
    samples: int
    error: float
    integration: float


class Slope(NamedTuple):
    """A row of slopes.csv: the exponent of n in the mean error, fitted from `first_samples` to `last_samples`."""

    estimator: str
    sigma: float
    dim: int
    first_samples: int
    last_samples: int
    slope: float
    standard_error: float


def mean_errors(rows: Sequence[EstimateRow], sigma: float, dim: int) -> list[MeanError]:
    """Compute the mean error of each estimator at each number of samples."""
    cells: dict[tuple[str, int], list[EstimateRow]] = {}
    for row in rows:
        if (row.sigma, row.dim) == (sigma, dim):
            cells.setdefault((row.estimator, row.samples), []).append(row)
    return [_mean_error(estimator, samples, repeats) for (estimator, samples), repeats in cells.items()]


def _mean_error(estimator: str, samples: int, repeats: Sequence[EstimateRow]) -> MeanError:
    error = float(np.mean([abs(row.value - row.truth) for row in repeats]))
    standard_errors = [row.standard_error for row in repeats if not math.isnan(row.standard_error)]
    integration = 2 * math.hypot(*standard_errors) / len(repeats)
    return MeanError(estimator, samples, error, integration)


def fit_slopes(config: Config, rows: Sequence[EstimateRow]) -> Iterator[Slope]:
    """Fit a line to the logarithms of the mean errors, for each sigma, dimension and estimator with enough points.

    Errors that the integration of the plug-ins may have caused are left out.
    """
    from scipy.stats import linregress  # imported here because the import takes half a second

    for sigma, dim, estimator in itertools.product(config.sigmas, config.dims, config.estimators):
        points = [
            (point.samples, point.error)
            for point in mean_errors(rows, sigma, dim)
            if point.estimator == estimator
            and point.samples >= _SAMPLES_PER_CORNER * 2**dim
            and point.error > point.integration
        ]
        if len(points) >= _SMALLEST_FIT:
            fit = linregress(*np.log(points).T)
            yield Slope(estimator, sigma, dim, points[0][0], points[-1][0], float(fit.slope), float(fit.stderr))
