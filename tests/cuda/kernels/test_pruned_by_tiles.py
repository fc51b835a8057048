"""Pruning by tiles omits pairs, and changes no result by more than the error tolerance.

tests.cuda.stand_in also runs tests/kernels/test_pruned.py on these kernels.
"""

import numpy as np
import pytest
import torch

from layerbits.kernels import reference
from layerbits.kernels.spatial_order import spatial_order
from tests.cuda.support.kernel_tests import BOTH_DTYPES, BOTH_KINDS, kernels_of, module_of, needs_emulation

SIGMA = 0.005


def clusters(dtype, *, n=4096, m=300, d=5, count=64):
    """Return points and centers in clusters a sigma wide near corners of a cube, as of saturated units."""
    generator = np.random.default_rng(0)
    corners = generator.choice([-1.0, 1.0], (count, d)) * generator.uniform(0.9, 1, (count, d))
    centers = corners[generator.integers(count, size=n)] + SIGMA * generator.standard_normal((n, d))
    points = centers[generator.integers(n, size=m)] + SIGMA * generator.standard_normal((m, d))
    return points.astype(dtype), centers.astype(dtype)


def pruned_log_sums(kind, points, centers, sigma=SIGMA, *, tolerance=None):
    """Return the log-sums, and the share of the pairs that were summed."""
    kernels, log_sum = kernels_of(kind), np.full(len(points), 7.0)
    kernels.log_sum_exp_isotropic(points, centers, sigma, log_sum, method="pruned", tolerance=tolerance)
    return log_sum, kernels.summed_share


def error_limit(expected, dtype, d, tolerance=0.0):
    """Return the error bound: sum_k p_k |e_k| is at most -expected plus the entropy of p, which is below log 1e5."""
    return (4 + d / 64) * np.finfo(dtype).eps * (1 + np.abs(expected) + np.log(1e5)) + tolerance


@BOTH_KINDS
@BOTH_DTYPES
def test_distant_clusters_are_omitted(kind, dtype):
    points, centers = clusters(dtype, m=4096)
    log_sum, share = pruned_log_sums(kind, points, centers)
    expected = reference.log_sum_exp_isotropic(points[::16], centers, SIGMA)
    assert (np.abs(log_sum[::16] - expected) <= error_limit(expected, dtype, 5, np.finfo(dtype).eps / 2)).all()
    # Tiles and clusters have 64 rows on average: a tile of either side overlaps a few clusters of 64.
    assert share < 1 / 4
    # The centers of a cluster overlap three tiles at most, if the cluster is not much larger than the average.
    assert pruned_log_sums(kind, np.repeat(centers[:1], 64, axis=0), centers)[1] <= 3 / 64


@BOTH_KINDS
def test_fewer_pairs_are_summed_with_a_larger_tolerance(kind):
    generator = np.random.default_rng(1)
    points, centers = (generator.uniform(0, 1, (rows, 2)) for rows in (64, 4000))
    default_share, share = (
        pruned_log_sums(kind, points[:20] / 8, centers, 0.02, tolerance=tolerance)[1] for tolerance in (None, 0.5)
    )
    assert share < default_share < 1


@BOTH_KINDS
@BOTH_DTYPES
def test_small_terms_that_matter_together_are_summed(kind, dtype):
    # 4096 terms of 2^-15.49 are an eighth of one term of 2^-0.49: log 1.125 > 0.1. The row's lower bound comes from its
    # reference, which rounds 2^-0.49 up to 1; the kernel therefore takes half of it.
    exponents = np.append(np.full(4096, 15.49), 0.49)
    centers = np.sqrt(2 * np.log(2) * exponents)[:, None].astype(dtype)
    points, log_sum = np.zeros((1, 1), dtype), np.full(1, 7.0)
    orders = {"point_order": np.arange(1), "center_order": np.arange(4097)}
    module_of(kind).call("log_sum_exp_isotropic", points, centers, 1.0, log_sum, tolerance=0.1, **orders)
    expected = reference.log_sum_exp_isotropic(points, centers, 1.0)
    assert (np.abs(log_sum - expected) <= error_limit(expected, dtype, 1, 0.1)).all()


@BOTH_KINDS
@BOTH_DTYPES
def test_result_is_within_the_bound_in_any_order_of_the_rows(kind, dtype):
    points, centers = clusters(dtype, n=700, m=150)
    generator = np.random.default_rng(2)
    orders = {"point_order": generator.permutation(150), "center_order": generator.permutation(700)}
    log_sum = np.full(150, 7.0)
    module_of(kind).call("log_sum_exp_isotropic", points, centers, SIGMA, log_sum, **orders)
    expected = reference.log_sum_exp_isotropic(points, centers, SIGMA)
    assert (np.abs(log_sum - expected) <= error_limit(expected, dtype, 5, np.finfo(dtype).eps / 2)).all()


@BOTH_KINDS
@BOTH_DTYPES
@pytest.mark.parametrize("index", [0, 70, 299])
def test_nonfinite_points_affect_only_their_rows_and_infinite_centers_none(kind, dtype, index):
    points, centers = clusters(dtype, n=300, m=130)
    clean, _ = pruned_log_sums(kind, points, centers)
    points[3], points[100, 2], points[64, 1] = np.nan, np.inf, -np.inf
    log_sum, _ = pruned_log_sums(kind, points, centers)
    assert np.isnan(log_sum[3])
    assert (log_sum[[100, 64]] == -np.inf).all()
    finite = np.delete(np.arange(130), [3, 64, 100])
    # Tiles with other boxes have other cutoffs, and sum in another order.
    assert (np.abs(log_sum - clean)[finite] <= error_limit(clean[finite], dtype, 5)).all()
    centers[index, 0] = -np.inf
    expected = reference.log_sum_exp_isotropic(points[finite], np.delete(centers, index, axis=0), SIGMA)
    log_sum, _ = pruned_log_sums(kind, points[finite], centers)
    assert (np.abs(log_sum - expected) <= error_limit(expected, dtype, 5, np.finfo(dtype).eps / 2)).all()
    centers[index, 0] = np.nan
    assert np.isnan(pruned_log_sums(kind, points, centers)[0]).all()


@needs_emulation
def test_more_near_tiles_than_the_list_holds_are_summed(monkeypatch):
    # All 640 tiles of centers matter, and the list holds 512. With 0 multiprocessors the centers have one share.
    monkeypatch.setenv("LAYERBITS_EMULATED_MULTIPROCESSORS", "0")
    generator = np.random.default_rng(3)
    points, centers = (generator.standard_normal((rows, 1)).astype(np.float32) for rows in (70, 64 * 640))
    log_sum, share = pruned_log_sums("emulated", points, centers, 10.0)
    assert share == 1
    expected = reference.log_sum_exp_isotropic(points, centers, 10.0)
    assert (np.abs(log_sum - expected) <= error_limit(expected, np.float32, 1, 2.0**-24)).all()


@BOTH_KINDS
def test_distant_row_has_the_density_of_its_nearest_center(kind):
    # A reference beyond 2^51 is a rounded product; the other tiles are farther away by more than its rounding error.
    centers = np.arange(640, dtype=np.float64)[:, None]
    points = np.array([[-1e9], [1e10]])
    log_sum, share = pruned_log_sums(kind, points, centers, 1.0)
    expected = -((points[:, 0] - [0, 639]) ** 2) / 2
    assert (np.abs(log_sum - expected) <= error_limit(expected, np.float64, 1)).all()
    assert share == 1  # both rows are in one tile, whose box contains all centers


@pytest.mark.parametrize("count", [1, 2, 32, 33, 100, 1000, 4097])
@pytest.mark.parametrize("d", [1, 3])
def test_spatial_order_is_a_permutation(count, d):
    generator = torch.Generator().manual_seed(count)
    rows = torch.randn(count, d, generator=generator)
    rows[count // 2 :: 7] = torch.nan
    rows[::5] = rows[0].clone()
    assert spatial_order(rows).sort().values.tolist() == list(range(count))


def test_spatial_order_halves_the_widest_dimension():
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(4096, 2, generator=generator)
    # 128 leaves of the unit square are 2^-3 by 2^-4, with a mean side below 2^-3. Unsorted leaves have sides near 1.
    leaves = rows[spatial_order(rows)].view(128, 32, 2)
    assert (leaves.amax(1) - leaves.amin(1)).mean() < 2**-3
