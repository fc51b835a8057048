"""Subspaces on the means of rows: orthonormal axes, rounding, a bound of the loss, and the confusion of draws."""

import math

import numpy as np
import pytest
import torch

from layerbits.mixtures import confusion_of_draws, mean_subspace, project
from layerbits.mixtures import mean_subspaces as module
from layerbits.mixtures.pairwise_bounds import pairwise_lower_bound
from tests.support.random_arrays import normal_tensor

SIGMA = 0.3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", 700)


def around_means(n, r, d, *, spread=0.3, rank=6):
    """Return draws (n, r, d) around means in a subspace of some dimensions, away from zero."""
    axes = torch.linalg.qr(normal_tensor(d, rank, seed=1)).Q
    means = normal_tensor(n, rank, seed=2) @ axes.T + normal_tensor(d, seed=3)
    return means[:, None] + spread * normal_tensor(n, r, d, seed=4)


def test_axes_are_the_principal_axes_of_the_means():
    points = around_means(12, 5, 40)
    subspace = mean_subspace(points, fitted=3, max_dimensions=4)
    means = points[:, :3].mean(1)
    expected = torch.linalg.svd(means - means.mean(0), full_matrices=False).Vh[:4]
    # Eigenvectors of products in float64, with eigenvalues that differ by more than a hundredth of the largest.
    np.testing.assert_allclose((expected @ subspace.directions).abs(), torch.eye(4), atol=1e-9)
    np.testing.assert_allclose(subspace.directions.T @ subspace.directions, torch.eye(4), atol=1e-12)


@pytest.mark.parametrize(("n", "axes"), [(9, 8), (300, 20)], ids=["n - 1 axes", "at most as many as wanted"])
def test_number_of_axes(n, axes):
    points = around_means(n, 3, 50).float()
    subspace = mean_subspace(points, fitted=2, max_dimensions=20)
    assert subspace.directions.shape == (50, axes)
    assert subspace.directions.dtype == torch.float32


def test_means_of_few_dimensions_have_few_axes():
    points = around_means(30, 2, 50, spread=0)
    assert mean_subspace(points, fitted=1, max_dimensions=20).directions.shape == (50, 6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_coordinates_are_those_of_the_subspace(dtype):
    points = around_means(12, 5, 40).to(dtype)
    subspace = mean_subspace(points, fitted=3, max_dimensions=4)
    coordinates = project(points, subspace, SIGMA, fitted=3).coordinates
    expected, _ = subspace.to(torch.float64).coordinates(points.double())
    assert coordinates.dtype == torch.promote_types(dtype, torch.float32)
    # Products of 40 values of |s| < 10 in float32 err by less than 40 * 2^-24 * 10 * 10.
    np.testing.assert_allclose(coordinates.double(), expected, atol=3e-4 if dtype != torch.float64 else 1e-12)


def test_coordinates_far_from_zero_are_not_rounded():
    """At 1e4 sigma, float32 values are rounded by 6e-4 sigma, and products in float32 by more."""
    points = (around_means(12, 5, 400) + 1e4 * SIGMA).float()
    subspace = mean_subspace(points, fitted=3, max_dimensions=4)
    expected, _ = subspace.to(torch.float64).coordinates(points.double())
    coordinates = project(points, subspace, SIGMA, fitted=3).coordinates
    np.testing.assert_allclose(coordinates.double(), expected, atol=1e-4 * SIGMA)


def test_terms_are_those_of_the_draws_that_the_axes_were_not_fitted_to():
    """The first draws of each row lie in the subspace, and the last one outside, in a single unit."""
    points = torch.zeros(3, 3, 7, dtype=torch.float64)
    points[:, :, 0] = torch.tensor([0.0, 1.0, 5.0])[:, None]
    points[:, 2, 4] = torch.tensor([0.6, 0.6, 1.2])
    subspace = mean_subspace(points, fitted=2, max_dimensions=5)
    projection = project(points, subspace, SIGMA, fitted=2)
    np.testing.assert_allclose(projection.squares, [[4], [4], [16]], atol=1e-12)
    np.testing.assert_allclose(projection.gaussian_terms, [[2], [2], [8]], atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_terms_are_the_surprisals_of_a_gaussian_with_the_powers_of_as_many_fitted_draws(dtype):
    points = around_means(12, 7, 40).to(dtype)
    subspace = mean_subspace(points, fitted=4, max_dimensions=4)
    projection = project(points, subspace, SIGMA, fitted=4)
    deviations = (points.double() - subspace.origin.double()).numpy()
    directions = subspace.directions.double().numpy()
    powers = ((deviations - deviations @ directions @ directions.T) / SIGMA) ** 2
    chosen = powers[:, 1:4].mean((0, 1))
    expected = (np.log1p(chosen) + (powers[:, 4:] - chosen) / (1 + chosen)).sum(2) / 2
    # Float32 rounds 40 squares by 1e-6 of some ten each, and the directions by 1e-7.
    tolerance = 1e-10 if dtype == torch.float64 else 1e-3
    np.testing.assert_allclose(projection.gaussian_terms, expected, atol=tolerance)
    np.testing.assert_allclose(projection.squares, powers[:, 4:].sum(2), atol=10 * tolerance)


def test_mean_of_the_terms_bounds_what_gaussian_remainders_add():
    """The remainders are N(0, p), so the omitted dimensions add 40 log(1 + p / sigma^2) / 2 given the subspace.

    The powers of 40 units are estimated from 12 points: the mean exceeds the truth by the divergence of two Gaussians.
    The powers of the evaluated points themselves would make the terms too small.
    """
    power = 4 * SIGMA**2
    truth = 40 * math.log1p(4) / 2
    means, own = [], []
    for seed in range(100):
        points = torch.zeros(4, 7, 41, dtype=torch.float64)
        points[:, :, 0] = torch.arange(4.0)[:, None] * 10
        points[:, 1:, 1:] = math.sqrt(power) * normal_tensor(4, 6, 40, seed=seed)
        subspace = mean_subspace(points, fitted=1, max_dimensions=1)
        means.append(float(project(points, subspace, SIGMA, fitted=4).gaussian_terms.mean()))
        own.append(float((points[:, 4:, 1:].square().mean((0, 1)) / SIGMA**2).log1p().sum()) / 2)
    error = np.std(means) / math.sqrt(len(means))
    assert truth - 4 * error < np.mean(means) < 1.2 * truth
    assert np.mean(own) < truth - 5 * np.std(own) / math.sqrt(len(own))


@pytest.mark.parametrize("spread", [0.1, 0.3, 0.35, 0.5])
def test_confusion_is_that_of_all_draws(monkeypatch, spread):
    """Two draws of half of the rows give the number within a factor of two, or show that it is negligible."""
    monkeypatch.setattr(module, "_COMPARED_ROWS", 100)
    points = around_means(200, 6, 60, spread=spread)
    draws = points.flatten(0, 1)
    truth = math.log(len(draws)) - float(pairwise_lower_bound(draws, torch.tensor(SIGMA, dtype=torch.float64)))
    estimate = confusion_of_draws(points, SIGMA)
    # The estimate bounds log(1 + c x) by c log(1 + x), so it may be far above a large truth.
    assert truth / 2 < estimate or max(truth, estimate) < 1e-6
    assert estimate < 2 * truth or truth > 0.1


def test_units_after_a_negligible_confusion_are_not_read():
    points = around_means(20, 4, 60, spread=1)
    points[:, :, 35:] = math.nan  # a block has 17 units of the 40 compared draws
    assert confusion_of_draws(points, SIGMA / 10, negligible=1e-3) <= 1e-3


def test_equal_draws_are_confused():
    points = around_means(20, 4, 60, spread=1)
    assert confusion_of_draws(points, SIGMA / 10) == 0
    assert confusion_of_draws(points[:, :1].expand(-1, 4, -1), SIGMA / 10) >= math.log(4) - 1e-9
    points[1::2] = points[::2]
    assert confusion_of_draws(points, SIGMA / 10) >= math.log(2) - 1e-9
