"""Reduction of dimension keeps distances, removes directions without variance, and bounds the loss of information."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

import layerbits as lb
from layerbits.mixtures import NEGLIGIBLE, affine_coordinates, fit_subspace
from tests.support.random_arrays import normal_tensor


def coordinates_of(centers, sigma, **options):
    return affine_coordinates(centers, sigma, **options)[0]


def embedded_centers(n, k, d):
    """Return centers in a k-dimensional affine subspace of R^d, away from zero."""
    axes = torch.linalg.qr(normal_tensor(d, k, seed=1)).Q
    return normal_tensor(n, k) @ axes.T + normal_tensor(d, seed=2)


# Directions without variance


@pytest.mark.parametrize(("n", "d"), [(50, 2000), (50, 40), (40, 50)])
def test_dimension_is_that_of_the_subspace(n, d):
    assert coordinates_of(embedded_centers(n, 3, d), 0.1).shape == (n, 3)


@pytest.mark.parametrize(("n", "d"), [(50, 2000), (50, 40), (40, 50)])
@pytest.mark.parametrize("weights", [None, torch.arange(1.0, 51.0)])
def test_distances_are_kept(n, d, weights):
    """An orthonormal projection in float64 has an error of at most d eps |c| = 1e-11."""
    centers = embedded_centers(n, 3, d)
    coordinates = coordinates_of(centers, 0.1, weights=None if weights is None else weights[:n])
    np.testing.assert_allclose(pdist(coordinates.numpy()), pdist(centers.numpy()), atol=1e-11)


def test_n_centers_never_need_n_dimensions():
    assert coordinates_of(normal_tensor(20, 500), 0.1).shape == (20, 19)


def test_centers_of_full_rank_keep_the_axes():
    centers = normal_tensor(50, 4)
    torch.testing.assert_close(coordinates_of(centers, 0.1), centers - centers.mean(0))


@pytest.mark.parametrize("d", [1, 3, 30])
def test_mean_is_zero(d):
    """Centers near 1000 are rounded by 1e-13, and a sum of 20 centers by a few times 1e-13."""
    assert coordinates_of(normal_tensor(20, d) + 1000, 0.1).mean(0).abs().max() <= 1e-11


def test_weighted_mean_is_zero():
    weights = torch.arange(1.0, 21, dtype=torch.float64)
    assert (weights @ coordinates_of(normal_tensor(20, 3), 0.1, weights=weights)).abs().max() <= 1e-11


@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("d", [1, 5, 50])
def test_equal_centers_keep_one_coordinate_of_zero(n, d):
    """The mean of n equal rows has an error of at most n eps |s|."""
    centers = normal_tensor(1, d).repeat(n, 1)
    coordinates = coordinates_of(centers, 0.1)
    assert coordinates.shape == (n, 1)
    assert coordinates.norm(dim=1).max() <= n * np.finfo(float).eps * centers[0].norm()


@pytest.mark.parametrize(("power", "dimension"), [(1.5, 1), (2.5, 2)])
def test_a_direction_of_negligible_cost_is_left_out(power, dimension):
    """A direction of mean square r^2 has at most r^2 / (2 sigma^2) nats, negligible at r^2 <= 2 sigma^2 NEGLIGIBLE."""
    sigma = 0.3
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).double()
    centers = signs * torch.tensor([1.0, sigma * (power * NEGLIGIBLE) ** 0.5])
    assert coordinates_of(centers, sigma).shape == (4, dimension)


def test_costs_of_directions_add_up():
    """Ten directions cost a fifth of the limit each, so that five may be left out."""
    sigma = 0.3
    spread = torch.cat([torch.ones(1), torch.full((10,), sigma * (0.399 * NEGLIGIBLE) ** 0.5)]).double()
    columns = normal_tensor(64, 11)
    orthogonal = torch.linalg.qr(columns - columns.mean(0)).Q * 8
    assert coordinates_of(orthogonal * spread, sigma).shape == (64, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    assert coordinates_of(embedded_centers(30, 3, 50).to(dtype), 0.1).dtype == dtype


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_coordinates_of_centers_of_extreme_scale_are_finite(scale):
    """Squares of 1e200 overflow, and all axes are kept; at 1e-200 every direction has a negligible cost."""
    centers = scale * normal_tensor(9, 3)
    coordinates = coordinates_of(centers, 1.0)
    assert coordinates.isfinite().all()
    if scale > 1:
        torch.testing.assert_close(coordinates / scale, (centers - centers.mean(0)) / scale)


@pytest.mark.parametrize("seed", range(5))
def test_a_small_distance_among_huge_distances_is_kept(seed):
    """Rounding moves eigenvalues by up to 30 * 2e-16 * 1e16 = 60, 900 times the small eigenvalue 1 / (60 sigma^2)."""
    centers = 1e7 * normal_tensor(30, 400, seed=seed)
    centers[1] = centers[0]
    centers[1, 0] += 1
    distance = pdist(coordinates_of(centers, 0.5).numpy())[0]  # the first two centers
    # 400 products with centers of length 1e7 * 20, at 1.1e-16 each: 1e-5.
    assert distance == pytest.approx(1, abs=1e-4)


# Directions that are left out at a cost


def with_tail(n=200, sigma=0.5):
    """Return centers with mean squares 9, 4, 1 along 3 axes, and 2 sigma^2 / 100, or 0.01 nats, along 27 others."""
    powers = torch.tensor([9.0, 4.0, 1.0] + [0.02 * sigma**2] * 27, dtype=torch.float64)
    columns = normal_tensor(n, 30)
    return torch.linalg.qr(columns - columns.mean(0)).Q * n**0.5 * powers.sqrt(), sigma


@pytest.mark.parametrize(("max_cost", "dimensions"), [(0.005, 30), (0.0951, 21), (0.5, 3), (math.inf, 3)])
def test_directions_are_left_out_up_to_max_cost_and_down_to_max_dimensions(max_cost, dimensions):
    centers, sigma = with_tail()
    subspace = fit_subspace(centers, sigma, max_dimensions=3, max_cost=max_cost)
    coordinates, squared_distances = subspace.coordinates(centers)
    assert coordinates.shape == (200, dimensions)
    cost = 0.01 * (30 - dimensions)
    assert float(squared_distances.mean()) / (2 * sigma**2) == pytest.approx(cost, abs=1e-9)
    assert affine_coordinates(centers, sigma, max_dimensions=3, max_cost=max_cost)[1] == pytest.approx(cost, abs=1e-9)


def test_directions_are_kept_if_they_are_at_most_max_dimensions():
    centers, sigma = with_tail()
    subspace = fit_subspace(centers, sigma, max_dimensions=30, max_cost=1.0)
    assert subspace.coordinates(centers)[0].shape == (200, 30)


def test_max_dimensions_are_kept_if_the_cost_is_unlimited():
    centers, sigma = with_tail()
    subspace = fit_subspace(centers, sigma, max_dimensions=2, max_cost=math.inf)
    coordinates, squared_distances = subspace.coordinates(centers)
    assert coordinates.shape == (200, 2)
    assert float(squared_distances.mean()) == pytest.approx(1 + 27 * 0.02 * sigma**2)


@pytest.mark.parametrize("d", [40, 2000])
def test_squares_of_coordinates_and_distance_add_up(d):
    """Pythagoras' theorem holds at points other than the centers; 2000 squares of a few units round to 1e-12."""
    centers, points = normal_tensor(50, d), normal_tensor(7, 3, d, seed=5)
    subspace = fit_subspace(centers, 0.5, max_dimensions=4, max_cost=math.inf)
    coordinates, squared_distances = subspace.coordinates(points)
    assert (coordinates.shape, squared_distances.shape) == ((7, 3, 4), (7, 3))
    squares = (points - centers.mean(0)).square().sum(-1)
    torch.testing.assert_close(coordinates.square().sum(-1) + squared_distances, squares, rtol=1e-12, atol=1e-9)
    point_inside = subspace.origin + subspace.directions @ normal_tensor(4, seed=6)
    assert subspace.coordinates(point_inside)[1] <= 1e-9


def test_subspace_of_all_axes_leaves_nothing_out():
    centers, points = normal_tensor(50, 4), normal_tensor(7, 4, seed=5)
    coordinates, squared_distances = fit_subspace(centers, 0.1).coordinates(points)
    torch.testing.assert_close(coordinates, points - centers.mean(0))
    assert (squared_distances == 0).all()


NEAR = 1.5 * np.arange(8.0)


@pytest.mark.parametrize(("dtype", "far"), [("float32", 1e5), ("float32", 1e9), ("float64", 1e14)])
def test_far_center_does_not_change_the_information_of_near_ones(dtype, far):
    """The far center is told apart, so I = h(1/9) + 8/9 I(the near ones), h the entropy of a share."""
    near = lb.mixture_information(NEAR[:, None], 1.0, tolerance=0.002)
    estimate = lb.mixture_information(np.append(NEAR, far).astype(dtype)[:, None], 1.0, tolerance=0.002)
    share = 8 / 9
    of_shares = math.log(9) - share * math.log(8)
    assert estimate.lower <= of_shares + share * near.upper
    assert of_shares + share * near.lower <= estimate.upper


@pytest.mark.parametrize("measure", [lb.mixture_information, lambda centers, sigma: lb.sigma_profile(centers, [sigma])])
def test_noise_that_float64_does_not_resolve_is_refused(measure):
    with pytest.raises(ValueError, match=r"^sigmas?: got 1e-18, wanted at least 1\.18e-15"):
        measure(np.array([[0.0], [1e-17], [1.0]]), 1e-18)


def test_tiny_noise_tells_distant_centers_apart():
    centers = np.array([[0.0], [0.0], [1.0], [5.0]])
    assert float(lb.mixture_information(centers, 1e-30)) == pytest.approx(1.5 * math.log(2), abs=1e-6)
