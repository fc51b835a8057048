"""Pruning by tiles: what is left out, and that it never matters. The contract is that of tests/kernels/test_pruned.py,
which `stand_in` turns to these kernels."""

import numpy as np
import pytest
import torch

from layerbits.kernels import reference
from layerbits.kernels.spatial_order import near_order
from tests.cuda.kernels.test_cuda_kernels import BOTH_DTYPES, BOTH_KINDS, verbs

SIGMA = 0.005


def clusters(dtype, *, n=4096, m=300, d=5, centers_of=64):
    """Clusters a sigma wide at corners of a cube, as saturated units leave them, and queries in them."""
    generator = np.random.default_rng(0)
    corners = generator.choice([-1.0, 1.0], (centers_of, d)) * generator.uniform(0.9, 1, (centers_of, d))
    centers = corners[generator.integers(centers_of, size=n)] + SIGMA * generator.standard_normal((n, d))
    points = centers[generator.integers(n, size=m)] + SIGMA * generator.standard_normal((m, d))
    return points.astype(dtype), centers.astype(dtype)


def pruned(kind, points, centers, sigma=SIGMA, *, tolerance=None, **options):
    """The log-sums, and the share of the pairs that were taken."""
    core, log_sum = verbs(kind), np.full(len(points), 7.0)
    core.log_sum_exp_isotropic(points, centers, sigma, log_sum, method="pruned", tolerance=tolerance, **options)
    return log_sum, core.taken


def allowed(want, dtype, d, tolerance=0.0):
    # sum_k p_k |e_k| is -want and the entropy of p, at most log n.
    return (4 + d / 64) * np.finfo(dtype).eps * (1 + np.abs(want) + np.log(1e5)) + tolerance


@BOTH_KINDS
@BOTH_DTYPES
def test_clusters_that_are_far_are_left_out(kind, dtype):
    points, centers = clusters(dtype, m=4096)
    got, taken = pruned(kind, points, centers)
    want = reference.log_sum_exp_isotropic(points, centers, SIGMA)
    assert (np.abs(got - want) <= allowed(want, dtype, 5, np.finfo(dtype).eps / 2)).all()
    # Tiles of 64 and clusters of 64 on average: both sides of a tile have some clusters of 64.
    assert taken < 1 / 4
    # The centers of one cluster are in three tiles at most, if it is not much larger than others.
    assert pruned(kind, np.repeat(centers[:1], 64, axis=0), centers)[1] <= 3 / 64


@BOTH_KINDS
def test_looser_tolerance_takes_less(kind):
    generator = np.random.default_rng(1)
    points, centers = (generator.uniform(0, 1, (rows, 2)) for rows in (64, 4000))
    strict, half = (pruned(kind, points[:20] / 8, centers, 0.02, tolerance=tolerance)[1] for tolerance in (None, 0.5))
    assert half < strict < 1


@BOTH_KINDS
@BOTH_DTYPES
def test_many_small_terms_are_taken_that_matter_together(kind, dtype):
    # 4096 terms of 2^-15.49 beside one of 2^-0.49, of which they are an eighth: log 1.125 > 0.1. The row's bound is
    # the reference, which rounds 2^-0.49 up to 1, and is held to be 1/2.
    exponents = np.append(np.full(4096, 15.49), 0.49)
    centers = np.sqrt(2 * np.log(2) * exponents)[:, None].astype(dtype)
    points, log_sum = np.zeros((1, 1), dtype), np.full(1, 7.0)
    orders = {"point_order": np.arange(1), "center_order": np.arange(4097)}
    verbs(kind).back_end.call("log_sum_exp_isotropic", points, centers, 1.0, log_sum, tolerance=0.1, **orders)
    want = reference.log_sum_exp_isotropic(points, centers, 1.0)
    assert (np.abs(log_sum - want) <= allowed(want, dtype, 1, 0.1)).all()


@BOTH_KINDS
@BOTH_DTYPES
def test_order_of_the_rows_is_no_matter_of_correctness(kind, dtype):
    points, centers = clusters(dtype, n=700, m=150)
    generator = np.random.default_rng(2)
    orders = {"point_order": generator.permutation(150), "center_order": generator.permutation(700)}
    log_sum = np.full(150, 7.0)
    verbs(kind).back_end.call("log_sum_exp_isotropic", points, centers, SIGMA, log_sum, **orders)
    want = reference.log_sum_exp_isotropic(points, centers, SIGMA)
    assert (np.abs(log_sum - want) <= allowed(want, dtype, 5, np.finfo(dtype).eps / 2)).all()


@BOTH_KINDS
@BOTH_DTYPES
@pytest.mark.parametrize("place", [0, 70, 299])
def test_what_is_not_finite_stays_where_it_is(kind, dtype, place):
    points, centers = clusters(dtype, n=300, m=130)
    clean, _ = pruned(kind, points, centers)
    points[3], points[100, 2], points[64, 1] = np.nan, np.inf, -np.inf
    got, _ = pruned(kind, points, centers)
    assert np.isnan(got[3])
    assert (got[[100, 64]] == -np.inf).all()
    others = np.delete(np.arange(130), [3, 64, 100])
    # Tiles of other boxes prune by other cutoffs, and add in another order.
    assert (np.abs(got - clean)[others] <= allowed(clean[others], dtype, 5)).all()
    centers[place, 0] = -np.inf
    want = reference.log_sum_exp_isotropic(points[others], np.delete(centers, place, axis=0), SIGMA)
    got, _ = pruned(kind, points[others], centers)
    assert (np.abs(got - want) <= allowed(want, dtype, 5, np.finfo(dtype).eps / 2)).all()
    centers[place, 0] = np.nan
    assert np.isnan(pruned(kind, points, centers)[0]).all()


@BOTH_KINDS
def test_more_tiles_than_are_listed_at_once(kind):
    # All centers matter: 640 tiles, of which 512 are listed at once, for more tiles of points than make shares.
    generator = np.random.default_rng(3)
    points, centers = (generator.standard_normal((rows, 1)).astype(np.float32) for rows in (64 * 64, 64 * 640))
    points[:-20] = points[0]
    got, taken = pruned(kind, points, centers, 10.0)
    assert taken == 1
    want = reference.log_sum_exp_isotropic(points[-20:], centers, 10.0)
    assert (np.abs(got[-20:] - want) <= allowed(want, np.float32, 1, 2.0**-24)).all()


@BOTH_KINDS
def test_far_row_has_the_density_of_its_nearest_center(kind):
    # Beyond 2^22 units the reference is made of products that are rounded; all tiles but one are farther by far.
    centers = np.arange(640, dtype=np.float64)[:, None]
    points = np.array([[-1e9], [1e10]])
    got, taken = pruned(kind, points, centers, 1.0)
    want = -((points[:, 0] - [0, 639]) ** 2) / 2
    assert (np.abs(got - want) <= allowed(want, np.float64, 1)).all()
    assert taken == 1  # of both rows, which are in one tile: the box between them holds all


@pytest.mark.parametrize("count", [1, 2, 32, 33, 100, 1000, 4097])
@pytest.mark.parametrize("d", [1, 3])
def test_near_order_is_a_permutation(count, d):
    generator = torch.Generator().manual_seed(count)
    rows = torch.randn(count, d, generator=generator)
    rows[count // 2 :: 7] = torch.nan
    rows[::5] = rows[0].clone()
    assert near_order(rows).sort().values.tolist() == list(range(count))


def test_near_order_halves_the_widest_dimension():
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(4096, 2, generator=generator)
    # 128 leaves of a square are 2^-3 by 2^-4, so large the mean of their sides; in no order they are whole sides.
    leaves = rows[near_order(rows)].view(128, 32, 2)
    assert (leaves.amax(1) - leaves.amin(1)).mean() < 2**-3
