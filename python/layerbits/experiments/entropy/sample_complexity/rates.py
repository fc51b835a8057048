"""Exponents of n in the mean error of the plug-in, and the numbers of samples for a given mean error."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from layerbits import theory
from layerbits.experiments.entropy.bounds import COVERING, FINITE_SUPPORT, PAPER
from layerbits.experiments.entropy.sample_complexity.errors import Risk
from layerbits.experiments.entropy.sample_complexity.settings import Config

# A fit begins at this many times 4^d samples. With fewer samples, the bias, which falls like 2^d / (2 n), is
# visible beside the fluctuation, which falls like 1 / sqrt(n).
_FIRST_SAMPLES = 16
_SMALLEST_FIT = 3  # points
LOWER_BOUND = "least"


class Slope(NamedTuple):
    """A row of slopes.csv: the exponent of n in the mean absolute error, where the bias is negligible."""

    sigma: float
    probability: float
    dim: int
    slope: float
    standard_error: float


class SamplesNeeded(NamedTuple):
    """A row of needed.csv: log n for the wanted mean error; NaN if all or none of the measured n suffice.

    `source` is the name of an upper bound, `LOWER_BOUND`, or `measured_source` of a probability.
    """

    sigma: float
    dim: int
    source: str
    log_samples: float


def measured_source(probability: float) -> str:
    """Return the `source` of a number of samples that was measured with bits of this probability."""
    return f"measured at {probability:g}"


def fit_slopes(risks: Iterable[Risk]) -> Iterator[Slope]:
    """Fit a line to the logarithms of the risks, for each sigma, probability and dimension with enough points."""
    curves: dict[tuple[float, float, int], list[Risk]] = {}
    for risk in risks:
        if risk.samples >= _FIRST_SAMPLES * 4**risk.dim:
            curves.setdefault((risk.sigma, risk.probability, risk.dim), []).append(risk)
    for curve, points in curves.items():
        if len(points) >= _SMALLEST_FIT:
            x = np.log([risk.samples for risk in points])
            y = np.log([risk.risk for risk in points])
            relative_errors = np.array([risk.standard_error / risk.risk for risk in points])
            least_squares = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
            standard_error = float(np.linalg.norm(least_squares * relative_errors))
            yield Slope(*curve, float(least_squares @ y), standard_error)


def samples_needed(config: Config, risks: Sequence[Risk]) -> Iterator[SamplesNeeded]:
    """Compute how many samples give the wanted mean error, by measurement and by each bound."""
    for sigma, dim in itertools.product(config.sigmas, config.dims):
        for probability in config.probabilities:
            curve = [risk for risk in risks if (risk.sigma, risk.probability, risk.dim) == (sigma, probability, dim)]
            yield SamplesNeeded(sigma, dim, measured_source(probability), _log_crossing(curve, config.error))
        in_cube = theory.samples_needed(config.error, dim=dim, sigma=sigma)
        at_corners = theory.samples_needed(config.error, dim=dim, sigma=sigma, atoms=2**dim)
        yield SamplesNeeded(sigma, dim, LOWER_BOUND, in_cube.log_necessary)
        yield SamplesNeeded(sigma, dim, FINITE_SUPPORT, at_corners.log_samples)
        yield SamplesNeeded(sigma, dim, COVERING, in_cube.log_samples)
        yield SamplesNeeded(sigma, dim, PAPER, _log_samples_of_paper(config.error, dim, sigma))


def _log_crossing(curve: Sequence[Risk], error: float) -> float:
    """Return log n at which the risk falls to `error`, interpolated on logarithmic axes."""
    for risk, next_risk in itertools.pairwise(curve):
        if next_risk.risk <= error < risk.risk:
            share = math.log(risk.risk / error) / math.log(risk.risk / next_risk.risk)
            return math.log(risk.samples) + share * math.log(next_risk.samples / risk.samples)
    return math.nan


def _log_samples_of_paper(error: float, dim: int, sigma: float) -> float:
    """Return the logarithm of the smallest power of 2 at which the bound of the paper is at most `error`."""
    powers = itertools.count(1)
    return math.log(2) * next(k for k in powers if theory.plugin_risk_bound(2**k, dim=dim, sigma=sigma) <= error)
