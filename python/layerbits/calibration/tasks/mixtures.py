"""The mixtures of V1: constellations, cubes, rare confusions, high dimensions and the two extremes of information."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft

from layerbits._base import Doubles
from layerbits.calibration.tasks.channels import line_channel, plane_channel
from layerbits.calibration.tasks.quadrature import (
    independent_copies,
    quadrature_truths,
    separated_truths,
    with_noise_dimensions,
)
from layerbits.calibration.tasks.task import MixtureTask, Truths


class Line(NamedTuple):
    """A mixture on the line."""

    centers: Sequence[float] | Doubles
    sigma: float
    weights: Sequence[float] | Doubles | None = None

    def truths(self) -> Truths:
        """Compute the true values."""
        weights = None if self.weights is None else np.array(self.weights)
        return quadrature_truths(line_channel(self.centers, self.sigma), weights=weights)


def orthonormal_rows(count: int, dim: int) -> Doubles:
    """Return orthonormal vectors, shape (count, dim), that are not coordinate axes: rows of the cosine transform."""
    rows: Doubles = fft.dct(np.eye(dim), axis=0, norm="ortho")[:count]
    return rows


def cube_corners(dim: int) -> Doubles:
    """Return the corners of [-1, 1]^dim, shape (2^dim, dim)."""
    return _product([-1.0, 1.0], dim)


def _product(values: Sequence[float] | Doubles, dim: int) -> Doubles:
    return np.array(list(itertools.product(values, repeat=dim)))


def _grid(name: str, description: str, line: Line, *, dim: int = 1) -> MixtureTask:
    """Make the mixture in `dim` dimensions whose coordinates are independent copies of a mixture on the line."""
    return MixtureTask(
        name,
        description,
        lambda: independent_copies(line.truths(), dim),
        line.sigma,
        _product([float(center) for center in line.centers], dim),
        None if line.weights is None else _product(line.weights, dim).prod(1),
    )


def _psk() -> MixtureTask:
    angles = np.arange(8) * math.pi / 4
    centers, sigma = np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.4
    return MixtureTask(
        "psk8-0.4",
        "8 points on the unit circle",
        lambda: quadrature_truths(plane_channel(centers, sigma)),
        sigma,
        centers,
    )


def _gaussian() -> MixtureTask:
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    return _grid(
        "gaussian-3",
        "3 Gaussian inputs, each replaced by 8 nodes of Gauss-Hermite quadrature: slightly below 3/2 log 2",
        Line(nodes, 1.0, weights / weights.sum()),
        dim=3,
    )


def _wide_cube() -> MixtureTask:
    dim, line = 1000, Line([-1, 1], 0.5)
    return MixtureTask(
        "wide-cube",
        "3 bits in 1000 dimensions",
        lambda: with_noise_dimensions(independent_copies(line.truths(), 3), dim - 3, line.sigma),
        line.sigma,
        cube_corners(3) @ orthonormal_rows(3, dim),
    )


def _wide_apart() -> MixtureTask:
    count, dim, length, sigma = 64, 1000, 3.0, 0.1
    return MixtureTask(
        "wide-apart",
        "64 separate points in 1000 dimensions: log 64",
        lambda: with_noise_dimensions(separated_truths(count, math.sqrt(2) * length / sigma), dim, sigma),
        sigma,
        length * orthonormal_rows(count, dim),
    )


MIXTURES = (
    *(_grid(f"bpsk-{sigma:g}", f"1 bit, sigma {sigma:g}", Line([-1, 1], sigma)) for sigma in (0.3, 0.5, 1.0, 2.0)),
    _grid("bpsk-20", "1 bit, nearly lost in the noise", Line([-1, 1], 20.0)),
    *(_grid(f"gap-{gap}", f"2 points {gap} sigmas apart: rare confusions", Line([0, gap], 1.0)) for gap in (5, 6, 7)),
    _grid("three-to-one-0.5", "2 points of weights 3/4 and 1/4", Line([-1, 1], 0.5, [0.75, 0.25])),
    _grid("three-to-one-1", "2 points of weights 3/4 and 1/4", Line([-1, 1], 1.0, [0.75, 0.25])),
    _grid("rare-symbol", "most information is due to a point of weight 1/10,000", Line([0, 6], 1.0, [0.9999, 0.0001])),
    _grid("close-pair", "32 points, separate except for two", Line([20 * k if k else 19 for k in range(32)], 1.0)),
    _grid("cube-2", "2 bits", Line([-1, 1], 0.5), dim=2),
    _grid("cube-5", "5 bits", Line([-1, 1], 0.6), dim=5),
    _grid("cube-10", "10 bits", Line([-1, 1], 1.0), dim=10),
    _grid("qam16", "16 points of a square grid", Line([-3, -1, 1, 3], 0.7), dim=2),
    _psk(),
    _gaussian(),
    _wide_cube(),
    _wide_apart(),
    _grid("equal", "50 equal points: 0", Line([0] * 50, 1.0)),
)
