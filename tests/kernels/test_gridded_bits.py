"""The gridded log-sum-exp has the same bits for any number of threads, batch, group, memory layout and AVX level."""

import numpy as np
import pytest

from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, NEEDS_AVX2_AND_AVX512, log_sum_exp

pytestmark = pytest.mark.cpu_only("threads, batches and levels")

SIGMAS = pytest.mark.parametrize("sigma", [30.0, 0.5, 0.01, 1e-5])


DIMENSIONS = pytest.mark.parametrize("d", [1, 2])


def gridded(d):
    """Return the method; in the plane with a tolerance that is large enough in float64."""
    return {"method": "gridded"} if d == 1 else {"method": "gridded", "tolerance": 1e-7}


def mixture(dtype, *, m=400, n=5000, d=1):
    """Return points near and far from the centers, centers with equal ones and an outlier, and weights with a 0."""
    generator = np.random.default_rng(8)
    centers = generator.standard_normal((n, d))
    centers[::9] = 0.25
    centers[7] = 3e4
    points = generator.standard_normal((m, d)) * generator.choice([0.5, 3.0, 1e4], (m, 1))
    weights = generator.random(n)
    weights[11] = 0
    return points.astype(dtype), centers.astype(dtype), weights.astype(dtype)


@DIMENSIONS
@BOTH_DTYPES
@pytest.mark.parametrize("sigma", [30.0, 0.5, 0.01, 1e-3])
@pytest.mark.parametrize("weighted", [False, True])
def test_number_of_threads_changes_no_bit(dtype, sigma, weighted, d):
    # Several chunks of the sort and pieces of cells.
    points, centers, weights = mixture(dtype, m=70_000, n=70_000, d=d)
    points = points[np.abs(points).max(axis=1) < 5]
    options = {"weights": weights} if weighted else {}
    serial = log_sum_exp(points, centers, sigma, **gridded(d), **options)
    assert np.isfinite(serial).all()
    for threads in (0, 2, 3, 4):  # 0 means 1
        parallel = log_sum_exp(points, centers, sigma, **gridded(d), threads=threads, **options)
        np.testing.assert_array_equal(parallel, serial, err_msg=f"{threads} threads")


@EVERY_LEVEL
@DIMENSIONS
@BOTH_DTYPES
@SIGMAS
def test_row_alone_equals_row_in_batch(level, dtype, sigma, d):
    points, centers, weights = mixture(dtype, m=60, d=d)
    options = {"weights": weights, "level": level, **gridded(d)}
    batch = log_sum_exp(points, centers, sigma, **options)
    alone = [log_sum_exp(points[i : i + 1], centers, sigma, **options)[0] for i in range(len(points))]
    np.testing.assert_array_equal(batch, alone)
    np.testing.assert_array_equal(log_sum_exp(points[::-1].copy(), centers, sigma, **options), batch[::-1])


@DIMENSIONS
@BOTH_DTYPES
@pytest.mark.parametrize("threads", [1, 3])
def test_group_equals_its_own_call(dtype, threads, d):
    points, centers, weights = mixture(dtype, d=d)
    point_offsets, center_offsets = np.array([0, 90, 90, 300, 400]), np.array([0, 2000, 2100, 4000, 5000])
    weights[center_offsets[:-1]] = weights.max()  # the reference of all groups is that of each group
    offsets = {"point_offsets": point_offsets, "center_offsets": center_offsets}
    groups = log_sum_exp(points, centers, 0.2, weights=weights, **gridded(d), threads=threads, **offsets)
    for g in range(4):
        rows, columns = slice(*point_offsets[g : g + 2]), slice(*center_offsets[g : g + 2])
        alone = log_sum_exp(points[rows], centers[columns], 0.2, weights=weights[columns], **gridded(d))
        np.testing.assert_array_equal(groups[rows], alone)


@DIMENSIONS
@BOTH_DTYPES
def test_memory_layout_changes_no_bit(dtype, d):
    points, centers, weights = mixture(dtype, d=d)
    expected = log_sum_exp(points, centers, 0.2, weights=weights, **gridded(d))
    strided = [np.repeat(array, 3, axis=0)[::3] for array in (points, centers, weights)]
    result = log_sum_exp(strided[0], strided[1], 0.2, weights=strided[2], **gridded(d))
    np.testing.assert_array_equal(result, expected)


@NEEDS_AVX2_AND_AVX512
@DIMENSIONS
@BOTH_DTYPES
@SIGMAS
def test_avx2_and_avx512_agree_in_bits(dtype, sigma, d):
    points, centers, weights = mixture(dtype, d=d)
    results = [
        log_sum_exp(points, centers, sigma, weights=weights, level=level, **gridded(d)) for level in ("avx2", "avx512")
    ]
    np.testing.assert_array_equal(*results)
