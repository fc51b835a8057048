"""The mixtures of version 1: constellations, cubes, rare confusions, wide ones, and both ends."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import fft

from layerbits.calibration.tasks.quadrature import among_noise, in_plane, independent, on_line, told_apart, truths_of
from layerbits.calibration.tasks.task import Floats, MixtureTask, Truths


def axes_of(dim: int, count: int) -> Floats:
    """Return `count` orthonormal vectors of `dim` dimensions, none along an axis: rows of the cosine transform."""
    rows: Floats = fft.dct(np.eye(dim), axis=0, norm="ortho")[:count]
    return rows


def cube(dim: int) -> Floats:
    """Return the corners of [-1, 1]^dim, shape (2^dim, dim)."""
    return _product([-1.0, 1.0], dim)


def line_truths(
    values: Sequence[float] | Floats, sigma: float, weights: Sequence[float] | Floats | None = None
) -> Truths:
    """Return the truths of centers on the line."""
    return truths_of(on_line(values, sigma), weights=None if weights is None else np.array(weights))


def _product(values: Sequence[float] | Floats, dim: int) -> Floats:
    return np.array(list(itertools.product(values, repeat=dim)))


def _grid(
    name: str,
    description: str,
    values: Sequence[float] | Floats,
    sigma: float,
    *,
    dim: int = 1,
    weights: Sequence[float] | Floats | None = None,
) -> MixtureTask:
    """Make the mixture whose coordinates are independent copies of one on the line."""
    return MixtureTask(
        name,
        description,
        sigma,
        lambda: independent(line_truths(values, sigma, weights), dim),
        _product([float(value) for value in values], dim),
        None if weights is None else _product(weights, dim).prod(1),
    )


def _phases() -> MixtureTask:
    angles = np.arange(8) * math.pi / 4
    centers, sigma = np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.4
    return MixtureTask(
        "psk8-0.4", "8 points of the unit circle", sigma, lambda: truths_of(in_plane(centers, sigma)), centers
    )


def _gaussian() -> MixtureTask:
    """Make what 8 Gauss-Hermite nodes for N(0, 1) leave of three Gaussian inputs."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    return _grid(
        "gaussian-3", "3 Gaussian inputs, each by 8 nodes of quadrature: hardly less than 3/2 log 2",
        nodes, 1.0, dim=3, weights=weights / weights.sum(),
    )  # fmt: skip


def _wide_cube() -> MixtureTask:
    dim, sigma = 1000, 0.5
    return MixtureTask(
        "wide-cube",
        "3 bits in 1000 dimensions",
        sigma,
        lambda: among_noise(independent(line_truths([-1, 1], sigma), 3), dim - 3, sigma),
        cube(3) @ axes_of(dim, 3),
    )


def _wide_apart() -> MixtureTask:
    count, dim, length, sigma = 64, 1000, 3.0, 0.1
    return MixtureTask(
        "wide-apart",
        "64 points in 1000 dimensions, told apart: log 64",
        sigma,
        lambda: among_noise(told_apart(count, math.sqrt(2) * length / sigma), dim, sigma),
        length * axes_of(dim, count),
    )


MIXTURES = (
    *(_grid(f"bpsk-{sigma:g}", f"1 bit, sigma {sigma:g}", [-1, 1], sigma) for sigma in (0.3, 0.5, 1.0, 2.0)),
    _grid("bpsk-20", "1 bit of which hardly anything is left", [-1, 1], 20.0),
    *(_grid(f"gap-{gap}", f"2 points {gap} sigmas apart: confused rarely", [0, gap], 1.0) for gap in (5, 6, 7)),
    _grid("three-to-one-0.5", "2 points of weights 3/4 and 1/4", [-1, 1], 0.5, weights=[0.75, 0.25]),
    _grid("three-to-one-1", "2 points of weights 3/4 and 1/4", [-1, 1], 1.0, weights=[0.75, 0.25]),
    _grid("rare-symbol", "a point of weight 1/10,000 tells nearly all", [0, 6], 1.0, weights=[0.9999, 0.0001]),
    _grid("close-pair", "32 points told apart, but for two", [20 * k if k else 19 for k in range(32)], 1.0),
    _grid("cube-2", "2 bits", [-1, 1], 0.5, dim=2),
    _grid("cube-5", "5 bits", [-1, 1], 0.6, dim=5),
    _grid("cube-10", "10 bits", [-1, 1], 1.0, dim=10),
    _grid("qam16", "16 points of a square grid", [-3, -1, 1, 3], 0.7, dim=2),
    _phases(),
    _gaussian(),
    _wide_cube(),
    _wide_apart(),
    _grid("equal", "50 equal points: 0", [0] * 50, 1.0),
)
