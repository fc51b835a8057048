"""The error of the plug-in entropy of a sample of corners of the cube, and its mean over many samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from layerbits._base import Doubles, Integers
from layerbits.experiments.entropy import cube
from layerbits.experiments.entropy.sample_complexity.settings import Config
from layerbits.kernels import RandomStream, standard_normal, stream
from layerbits.mixtures import mixture_log_density


class Risk(NamedTuple):
    """A row of risk.csv, in nats: mean error and mean absolute error of the plug-in; standard error of the latter."""

    sigma: float
    probability: float
    dim: int
    samples: int
    mean_error: float
    risk: float
    standard_error: float


class Cell(NamedTuple):
    """A row of risk.csv to compute; `number` is part of the key of its random streams."""

    number: int
    sigma: float
    probability: float
    dim: int
    samples: int


def measure_risk(config: Config, cell: Cell) -> Risk:
    """Compute the errors of the plug-in on repeated samples, and their means."""
    errors = []
    for repeat in range(config.repeats):
        random = stream(config.seed, RandomStream.RISK_SAMPLES, cell.number, repeat)
        counts = sample(cell.dim, cell.probability, cell.samples, random)
        errors.append(plug_in_error(counts, cell.probability, cell.sigma, config.draws, random))
    absolute_errors = np.abs(errors)
    standard_error = float(absolute_errors.std(ddof=1)) / math.sqrt(config.repeats)
    return Risk(*cell[1:], float(np.mean(errors)), float(absolute_errors.mean()), standard_error)


def sample(dim: int, probability: float, samples: int, random: np.random.Generator) -> Doubles:
    """Sample corners of the cube; return how often each corner occurs, shape (2^d,)."""
    return random.multinomial(samples, cube.corner_probabilities(dim, probability)).astype(np.float64)


def plug_in_error(counts: Doubles, probability: float, sigma: float, draws: int, random: np.random.Generator) -> float:
    """Compute the plug-in entropy of a sample minus the true entropy, in nats.

    With the density p of T and its plug-in q the error is E_q[-log p] - E_p[-log p] - D(q || p). The first two terms
    are known by quadrature. The divergence is the integral of p (r log r - r + 1), r = q / p, and is estimated at
    points of the mixture (p + q) / 2, where no term is negative or exceeds 2 + 2 log(1 + r), and all terms are small if
    the densities are close.

    Parameters
    ----------
    counts : numpy.ndarray
        How often each corner occurs in the sample, shape (2^d,).
    probability : float
        Probability that a bit is +1.
    sigma : float
        Standard deviation of the noise.
    draws : int
        Number of queries: the points of the integration.
    random : numpy.random.Generator
        Source of these points.
    """
    dim = counts.size.bit_length() - 1
    corners, shares = cube.corners(dim), counts / counts.sum()
    probabilities = cube.corner_probabilities(dim, probability)
    indices = np.concatenate(
        [_stratified_sample(probabilities, draws // 2, random), _stratified_sample(shares, draws - draws // 2, random)]
    )
    points = corners[indices] + sigma * standard_normal((draws, dim), random, torch.float64).numpy()
    is_sampled = counts > 0
    log_ratio = mixture_log_density(points, corners[is_sampled], sigma, weights=counts[is_sampled])
    log_ratio -= cube.log_density(points, probability, sigma)
    excess = np.expm1(log_ratio)
    divergence = np.mean(2 * ((1 + excess) * log_ratio - excess) / (2 + excess))
    return float((shares - probabilities) @ cube.corner_divergences(dim, probability, sigma) - divergence)


def _stratified_sample(weights: Doubles, size: int, random: np.random.Generator) -> Integers:
    """Sample an index in each of `size` equal strata; the count of an index is within 2 of its expectation."""
    quantiles = (np.arange(size) + random.random(size)) / size * weights.sum()
    indices: Integers = np.searchsorted(np.cumsum(weights), quantiles, side="right")
    return np.minimum(indices, weights.size - 1)
