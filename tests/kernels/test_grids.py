"""Expansions in cells with operators of torch, as on a CUDA device: error bound, special values, and blocks."""

import numpy as np
import pytest
import torch

from layerbits.kernels.grids import LEAST_TOLERANCE, gridded_log_sums, log_sums
from layerbits.kernels.native_interface import Mixture
from tests.support.exact_mixture import exact_log_sums
from tests.support.gridded_mixtures import LAYOUTS, gridded_problem, normal_centers
from tests.support.native_calls import BOTH_DTYPES

EVERY_DIM = pytest.mark.parametrize("dim", [1, 2])


def sums(points, centers, sigma, *, weights=None, tolerance=1e-7):
    tensors = [None if array is None else torch.from_numpy(np.array(array)) for array in (points, centers, weights)]
    return gridded_log_sums(Mixture(tensors[0], tensors[1], sigma, tensors[2]), tolerance)


@EVERY_DIM
@BOTH_DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sigma", [1e-2, 0.3, 0.74, 1e3])
@pytest.mark.parametrize("tolerance", [LEAST_TOLERANCE, 1e-4])
@pytest.mark.parametrize("weighted", [False, True])
def test_certain_sums_are_within_the_tolerance(dim, layout, dtype, sigma, tolerance, weighted):
    points, centers = gridded_problem(layout, sigma, dtype, dim)
    uniform = np.random.default_rng(1).uniform(size=len(centers))
    weights = (1e30 * uniform**9).astype(dtype) if weighted else None
    result = sums(points, centers, sigma, weights=weights, tolerance=tolerance).numpy()
    exact, _ = exact_log_sums(points, centers, sigma, weights=weights)
    is_certain = ~np.isnan(result)
    # The logarithm, the exponent and the scale of the weights are below 128, and round within some ulps.
    assert np.abs(result - exact)[is_certain].max(initial=0) <= tolerance + 128 * 2.0**-50
    if layout is normal_centers and sigma >= 0.3:
        assert is_certain[:60].mean() > 0.8  # queries drawn from the mixture


@EVERY_DIM
def test_far_points_and_special_values_are_not_certain(dim):
    centers = normal_centers(np.random.default_rng(0), 500, dim)
    points = np.zeros((6, dim))
    points[:, -1] = [0.0, np.nan, np.inf, -np.inf, 1e300, 30.0]
    assert sums(points, centers, 0.3).isnan().tolist() == [False, True, True, True, True, True]


@EVERY_DIM
@pytest.mark.parametrize(
    ("center", "weight"),
    [(np.nan, 1.0), (np.inf, 1.0), (1e15, 1.0), (0.0, -1.0), (0.0, np.nan), (0.0, np.inf), (0.0, 1e-320)],
)
def test_unsuitable_centers_and_weights_have_no_expansion(dim, center, weight):
    centers = np.zeros((3, dim))
    centers[2, -1] = center
    assert sums(np.zeros((1, dim)), centers, 1.0, weights=[1.0, 1.0, weight]) is None


@EVERY_DIM
def test_a_center_of_weight_0_adds_nothing(dim):
    points, centers = gridded_problem(normal_centers, 0.3, np.float64, dim)
    weights = np.ones(len(centers))
    weights[::2] = 0
    without, with_zeros = sums(points, centers[1::2], 0.3), sums(points, centers, 0.3, weights=weights)
    assert torch.allclose(with_zeros, without, rtol=0, atol=2e-7, equal_nan=True)


@EVERY_DIM
def test_points_in_blocks_have_the_same_sums(dim, monkeypatch):
    points, centers = gridded_problem(normal_centers, 0.3, np.float64, dim)
    whole = sums(points, centers, 0.3)
    monkeypatch.setattr(log_sums, "_BLOCK", 7)
    assert torch.allclose(sums(points, centers, 0.3), whole, rtol=0, atol=2e-7, equal_nan=True)


@EVERY_DIM
def test_a_cell_of_many_centers_is_summed_in_levels(dim):
    n = 40_000  # four levels of 32
    result = sums(np.full((1, dim), 0.1), np.zeros((n, dim)), 1.0)
    assert float(result) == pytest.approx(np.log(n) - dim * 0.005, abs=1e-12)


@EVERY_DIM
def test_weights_without_a_finite_scale_have_no_expansion(dim):
    assert sums(np.zeros((1, dim)), np.zeros((3, dim)), 1.0, weights=[5e-324] * 3) is None
