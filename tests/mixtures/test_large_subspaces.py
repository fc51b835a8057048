"""Reduction of dimension in blocks agrees with that of the whole, and holds no further copy."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from layerbits.mixtures import coordinates_in_blocks, fit_subspace, with_equal_distances
from layerbits.mixtures import large_subspaces as module
from tests.support.random_arrays import normal_tensor

SIGMA = 0.1


def in_subspace(n, r, d, *, rank=3):
    """Return points (n, r, d) in an affine subspace, away from zero."""
    axes = torch.linalg.qr(normal_tensor(d, rank, seed=1)).Q
    return (normal_tensor(n * r, rank) @ axes.T + normal_tensor(d, seed=2)).view(n, r, d)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", 300)


@pytest.mark.parametrize("d", [7, 200], ids=["fewer units", "more units"])
@pytest.mark.parametrize("fitted", [1, 4])
def test_coordinates_keep_all_distances_in_few_dimensions(d, fitted):
    """Products of |x|^2 < 1e3 in float64 keep distances to sqrt(1e3 eps) = 5e-7 at worst, where they vanish."""
    points = in_subspace(10, 5, d)
    coordinates, squared_distances = coordinates_in_blocks(points, SIGMA, fitted=fitted)
    assert coordinates.shape == (10, 5, 3)
    np.testing.assert_allclose(pdist(coordinates.flatten(0, 1)), pdist(points.flatten(0, 1)), atol=1e-6)
    assert float(squared_distances.max()) < 1e-11


@pytest.mark.parametrize("d", [7, 60], ids=["fewer units", "more units"])
def test_coordinates_and_distances_are_those_of_the_fitted_subspace(d):
    points = in_subspace(8, 4, d, rank=d)
    options = {"max_dimensions": 5, "max_cost": np.inf}
    coordinates, squared_distances = coordinates_in_blocks(points, SIGMA, fitted=3, **options)
    expected, distances = fit_subspace(points[:, :3].flatten(0, 1), SIGMA, **options).coordinates(points)
    np.testing.assert_allclose(pdist(coordinates.flatten(0, 1)), pdist(expected.flatten(0, 1)), atol=1e-9)
    np.testing.assert_allclose(squared_distances, distances, rtol=1e-9, atol=1e-9)
    assert float(distances.max()) > 0.1


def test_tiny_extents_of_rows_of_one_point_are_kept():
    """Products of 1e4 sigma give coordinates of 1e-2 sigma with an error of 1e-6; a QR decomposition gives 1e3 eps."""
    points = torch.zeros(8, 1, 700, dtype=torch.float64)
    points[:, 0, 0] = torch.arange(8).div(2, rounding_mode="floor") * 300.0
    points[1::2, 0, 1] = torch.tensor([1.0, 2.0, 4.0, 8.0]) * 1e-3
    rotation = torch.linalg.qr(normal_tensor(700, 700)).Q
    coordinates, squared_distances = coordinates_in_blocks(points @ rotation, SIGMA, fitted=1)
    np.testing.assert_allclose(pdist(coordinates[:, 0]), pdist(points[:, 0]), atol=1e-11)
    assert float(squared_distances.max()) < 1e-9  # 1e6 eps, the rounding of squares of the coordinates


def test_directions_of_tiny_extent_are_not_taken_from_products():
    """Products of coordinates up to 1e4 sigma give those of 1e-2 sigma with an error of some 1e8 eps / 1e-2 sigma.

    Directions give them with the error of the larger coordinates, 1e3 eps = 2e-13.
    """
    points = torch.zeros(4, 2, 50, dtype=torch.float64)
    points[:, :, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0])[:, None] * 300
    points[:, 1, 1] = torch.tensor([1.0, 2.0, 4.0, 8.0]) * 1e-3
    rotation = torch.linalg.qr(normal_tensor(50, 50)).Q
    coordinates, _ = coordinates_in_blocks(points @ rotation, SIGMA, fitted=2)
    pairs = (points[:, 1] - points[:, 0]).norm(dim=1)
    np.testing.assert_allclose((coordinates[:, 1] - coordinates[:, 0]).norm(dim=1), pairs, atol=1e-12)


def test_too_many_dimensions_and_points_keep_the_axes_and_the_points():
    points = in_subspace(6, 2, 9)
    before = points.clone()
    coordinates, squared_distances = coordinates_in_blocks(points, SIGMA, fitted=2, max_gram=8)
    np.testing.assert_allclose(coordinates, points - points.mean((0, 1)), atol=1e-14)
    assert not squared_distances.any()
    coordinates_in_blocks(points, SIGMA, fitted=1)
    assert torch.equal(points, before)


@pytest.mark.parametrize(("shape", "dimensions"), [((7, 90_000), 7), ((90_000, 7), 7), ((3, 5), 5)])
def test_points_keep_their_distances(shape, dimensions):
    """Sums of d terms have errors of at most d eps of their norms, which are below 10 distances."""
    points = torch.randn(shape, generator=torch.Generator().manual_seed(1)) + 3
    reduced = with_equal_distances(points)
    assert (reduced.dtype, reduced.shape[1]) == (torch.float64, dimensions)
    assert pdist(reduced[:20]) == pytest.approx(pdist(points[:20].double()), rel=10 * max(shape) * 2**-52)
