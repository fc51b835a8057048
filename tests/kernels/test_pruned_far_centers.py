"""Pruned log-sums beside far and light centers are within the bound of their error."""

import numpy as np
import pytest

from tests.kernels.test_pruned import assert_error_within_bound

# The distance is as large as each dtype and the least weight of a tree allow.
FAR_AND_LIGHT = pytest.mark.parametrize(
    ("dtype", "distance", "weight"), [(np.float32, 1e12, 1e-37), (np.float64, 1e18, 1e-60), (np.float64, 1e40, 1e-200)]
)


@FAR_AND_LIGHT
@pytest.mark.parametrize("sign", [1, -1])
def test_error_is_within_the_bound_beside_a_far_and_light_center(dtype, distance, weight, sign):
    # The far center is the first or the last of its leaf, and may move the mean only by weight * distance.
    centers = np.array([[sign * distance], [0.3]], dtype)
    points = np.array([[0.5], [3]], dtype)
    weights = np.array([weight, 1], dtype)
    assert_error_within_bound(points, centers, 1.0, (None, 1e-6, 1e-3), weights=weights)


@FAR_AND_LIGHT
@pytest.mark.parametrize("d", [1, 3])
def test_error_is_within_the_bound_beside_far_and_light_centers_in_many_leaves(dtype, distance, weight, d):
    # Far centers of both signs fill parts of leaves, whole leaves and nodes above these.
    generator = np.random.default_rng(d)
    for far in (1, 5, 40, 300):
        centers = 1e-3 * generator.standard_normal((1500, d))
        rows = generator.choice(len(centers), far, replace=False)
        centers[rows] = distance * generator.standard_normal((far, d))
        weights = 10.0 ** generator.uniform(-2, 0, len(centers))
        weights[rows] = weight
        points = generator.standard_normal((20, d))
        points, centers, weights = (array.astype(dtype) for array in (points, centers, weights))
        assert_error_within_bound(points, centers, 1.0, (None, 1e-6, 1e-3), weights=weights)
