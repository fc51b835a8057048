"""The reduction of dimension: distances stay, dimensions go, and what is dropped is below what it says."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from layerbits.mixtures import NEGLIGIBLE, fit_subspace
from layerbits.mixtures import affine_coordinates as with_cost


def affine_coordinates(*args, **options):
    return with_cost(*args, **options)[0]


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def embedded(n, k, d):
    """Centers in a k-dimensional affine subspace of R^d, away from zero."""
    return random(n, k) @ torch.linalg.qr(random(d, k, seed=1)).Q.T + random(d, seed=2)


@pytest.mark.parametrize(("n", "d"), [(50, 2000), (50, 40), (40, 50)])
def test_dimension_is_that_of_the_subspace(n, d):
    assert affine_coordinates(embedded(n, 3, d), 0.1).shape == (n, 3)


@pytest.mark.parametrize(("n", "d"), [(50, 2000), (50, 40), (40, 50)])
@pytest.mark.parametrize("weights", [None, torch.arange(1.0, 51.0)])
def test_distances_stay(n, d, weights):
    """An orthonormal projection of float64: d eps |c| = 1e-11 at most."""
    centers = embedded(n, 3, d)
    coordinates = affine_coordinates(centers, 0.1, weights=None if weights is None else weights[:n])
    np.testing.assert_allclose(pdist(coordinates.numpy()), pdist(centers.numpy()), atol=1e-11)


def test_n_centers_never_need_n_dimensions():
    assert affine_coordinates(random(20, 500), 0.1).shape == (20, 19)


def test_full_rank_keeps_the_axes():
    centers = random(50, 4)
    torch.testing.assert_close(affine_coordinates(centers, 0.1), centers - centers.mean(0))


@pytest.mark.parametrize("d", [1, 3, 30])
def test_mean_is_zero(d):
    """Centers near 1000 are rounded to 1e-13, a sum of 20 to some more."""
    assert affine_coordinates(random(20, d) + 1000, 0.1).mean(0).abs().max() <= 1e-11


def test_weighted_mean_is_zero():
    weights = torch.rand(20, dtype=torch.float64)
    assert (weights @ affine_coordinates(random(20, 3), 0.1, weights=weights)).abs().max() <= 1e-13


@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("d", [1, 5, 50])
def test_one_point_keeps_one_coordinate_of_zero(n, d):
    """The mean of n equal rows is off by n eps |s| at the most, and that is what is left of each."""
    centers = random(1, d).repeat(n, 1)
    coordinates = affine_coordinates(centers, 0.1)
    assert coordinates.shape == (n, 1)
    assert coordinates.norm(dim=1).max() <= n * np.finfo(float).eps * centers[0].norm()


@pytest.mark.parametrize(("power", "dimension"), [(1.5, 1), (2.5, 2)])
def test_direction_goes_when_it_carries_less_than_two_negligible_variances(power, dimension):
    """I of a direction with mean square r^2 is at most r^2 / (2 sigma^2): it goes at r^2 <= 2 sigma^2 NEGLIGIBLE."""
    sigma = 0.3
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]).double()
    centers = signs * torch.tensor([1.0, sigma * (power * NEGLIGIBLE) ** 0.5])
    assert affine_coordinates(centers, sigma).shape == (4, dimension)


def test_directions_count_together():
    """Ten directions of a fifth of the limit each: five may go."""
    sigma = 0.3
    spread = torch.cat([torch.ones(1), torch.full((10,), sigma * (0.399 * NEGLIGIBLE) ** 0.5)]).double()
    signs = torch.tensor(np.sign(np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0]))[:, :11]
    orthogonal = torch.linalg.qr(signs - signs.mean(0)).Q * 8
    assert affine_coordinates(orthogonal * spread, sigma).shape == (64, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_stays(dtype):
    assert affine_coordinates(embedded(30, 3, 50).to(dtype), 0.1).dtype == dtype


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_scales_keep_their_distances(scale):
    """Squares of 1e200 overflow: the axes then stay."""
    centers = scale * random(9, 3)
    found = affine_coordinates(centers, 1.0)
    assert found.isfinite().all()
    if scale > 1:
        torch.testing.assert_close(found / scale, (centers - centers.mean(0)) / scale)


@pytest.mark.parametrize("seed", range(5))
def test_small_distance_among_huge_ones_is_not_taken_for_an_empty_direction(seed):
    """At 1e7 sigmas eigenvalues are known to 30 * 2e-16 * 1e17 = 600 only, a thousand times the square that counts."""
    centers = 1e7 * random(30, 400, seed=seed)
    centers[1] = centers[0]
    centers[1, 0] += 1
    apart = pdist(affine_coordinates(centers, 0.5).numpy())[0]  # the first two
    # Rounding of 400 products of numbers up to 1e7 * 20, in units of 1.1e-16: 1e-5.
    assert apart == pytest.approx(1, abs=1e-4)


# Directions left out at a price


def with_tail(n=200, sigma=0.5):
    """Orthogonal directions of mean squares 9, 4, 1 and, of 27, 2 sigma^2 / 100: 0.01 nats each."""
    powers = torch.tensor([9.0, 4.0, 1.0] + [0.02 * sigma**2] * 27, dtype=torch.float64)
    axes = torch.linalg.qr(random(n, 30) - random(n, 30).mean(0)).Q * n**0.5
    return axes * powers.sqrt(), sigma


@pytest.mark.parametrize(("cost", "dimensions"), [(0.005, 30), (0.0951, 21), (0.5, 3), (math.inf, 3)])
def test_directions_go_for_the_cost_until_few_enough_are_left(cost, dimensions):
    centers, sigma = with_tail()
    subspace = fit_subspace(centers, sigma, most=3, cost=cost)
    coordinates, across = subspace.coordinates(centers)
    assert coordinates.shape == (200, dimensions)
    assert float(across.mean()) / (2 * sigma**2) == pytest.approx(0.01 * (30 - dimensions), abs=1e-9)


def test_directions_stay_where_there_are_few_enough():
    centers, sigma = with_tail()
    assert fit_subspace(centers, sigma, most=30, cost=1.0).coordinates(centers)[0].shape == (200, 30)


def test_no_more_than_the_most_are_left_at_any_cost():
    centers, sigma = with_tail()
    coordinates, across = fit_subspace(centers, sigma, most=2, cost=math.inf).coordinates(centers)
    assert coordinates.shape == (200, 2)
    assert float(across.mean()) == pytest.approx(1 + 27 * 0.02 * sigma**2)


@pytest.mark.parametrize("d", [40, 2000])
def test_squared_distance_is_what_coordinates_lack(d):
    """Of other points too, by Pythagoras; 2000 squares of some units round to 1e-12."""
    centers, others = random(50, d), random(7, 3, d, seed=5)
    subspace = fit_subspace(centers, 0.5, most=4, cost=math.inf)
    coordinates, across = subspace.coordinates(others)
    assert (coordinates.shape, across.shape) == ((7, 3, 4), (7, 3))
    whole = (others - centers.mean(0)).square().sum(-1)
    torch.testing.assert_close(coordinates.square().sum(-1) + across, whole, rtol=1e-12, atol=1e-9)
    inside = subspace.origin + subspace.directions @ random(4, seed=6)
    assert subspace.coordinates(inside)[1] <= 1e-9


def test_axes_that_stay_leave_nothing_out():
    subspace = fit_subspace(random(50, 4), 0.1)
    coordinates, across = subspace.coordinates(random(7, 4, seed=5))
    torch.testing.assert_close(coordinates, random(7, 4, seed=5) - random(50, 4).mean(0))
    assert (across == 0).all()
