"""Calls of the native module that return new arrays, and the ISA levels and dtypes that tests run over.

The plugin tests.cuda.stand_in replaces layerbits.kernels._cpu by CUDA kernels before this module imports `_cpu`.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest

from layerbits.kernels import _cpu

LEVELS = _cpu.levels()
EVERY_LEVEL = pytest.mark.parametrize("level", LEVELS)
BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
NEEDS_AVX2_AND_AVX512 = pytest.mark.skipif(
    not {"avx2", "avx512"} <= set(LEVELS), reason=f"needs AVX2 and AVX-512; this machine has {', '.join(LEVELS)}"
)

# Fills the outputs before a call: an entry that the kernel does not write makes the test fail.
UNWRITTEN = -7


class Gradients(NamedTuple):
    """The gradients of log_sum_exp_isotropic; `sigma` has one value for each point."""

    points: Any
    centers: Any
    weights: Any
    sigma: Any


def log_sum_exp(points, centers, sigma, **options):
    """Return log_sum_exp_isotropic, (m,) float64."""
    log_sum = np.full(len(points), float(UNWRITTEN))
    _cpu.log_sum_exp_isotropic(points, centers, sigma, log_sum, **options)
    return log_sum


def gradients(points, centers, sigma, upstream, *, log_sum=None, weights=None, **options):
    """Return all gradients; by default `log_sum` is that of the other arguments."""
    if log_sum is None:
        forward = {name: value for name, value in options.items() if name.endswith("offsets") or name == "level"}
        log_sum = log_sum_exp(points, centers, sigma, weights=weights, **forward)
    outputs = {
        "d_points": np.full_like(points, UNWRITTEN),
        "d_centers": np.full_like(centers, UNWRITTEN),
        "d_weights": np.full(len(centers), UNWRITTEN, points.dtype),
        "d_sigma": np.full(len(points), float(UNWRITTEN)),
    }
    _cpu.log_sum_exp_isotropic_gradient(
        points, centers, sigma, log_sum, np.asarray(upstream, float), weights=weights, **outputs, **options
    )
    return Gradients(*outputs.values())


def log_sum_exp_full(points, centers, factors, offsets, **options):
    """Return log_sum_exp_full, (m,) float64."""
    log_sum = np.full(len(points), float(UNWRITTEN))
    _cpu.log_sum_exp_full(points, centers, factors, offsets, log_sum, **options)
    return log_sum


def log_sum_exp_diagonal(points, centers, factors, offsets, **options):
    """Return log_sum_exp_diagonal, (m,) float64."""
    log_sum = np.full(len(points), float(UNWRITTEN))
    _cpu.log_sum_exp_diagonal(points, centers, factors, offsets, log_sum, **options)
    return log_sum


def distance_histogram(points, edges, **options):
    """Return the counts of distance_histogram, (bins + 2, 2) int64."""
    counts = np.full((len(edges) + 1, 2), UNWRITTEN)
    _cpu.distance_histogram(points, edges, counts, **options)
    return counts
