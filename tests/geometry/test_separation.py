"""Measures of class separation against their definitions."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from layerbits import ClassSeparation, class_separation
from tests.support.random_arrays import normal_array


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_separation_of_two_pairs_on_the_line(shift):
    points = np.array([[-1.25], [-0.75], [0.75], [1.25]]) + shift  # exact in binary
    separation = class_separation(points, np.array([5, 5, -5, -5]))
    assert separation.within == 0.5
    assert separation.between == math.sqrt(4.125)  # mean of 2^2, 2^2, 1.5^2, 2.5^2
    assert separation.scatter_ratio == 16  # 1 over 1/16
    assert separation.collapse == pytest.approx(1 / 32, rel=1e-14)  # 1/16 over 1, over two classes; the SVD rounds


@pytest.mark.parametrize(("n", "d"), [(40, 3), (30, 60)])
def test_separation_agrees_with_its_definitions(n, d):
    """The rounding of sums of n^2 d < 1e5 terms of one sign is below 1e5 eps = 2e-11 of the sum.

    The condition number of the covariance of the means is below 110, by which the inverse multiplies the error.
    """
    labels = np.arange(n) % 3 + (np.arange(n) < 6)  # classes of unequal sizes
    points = normal_array(n, d) + labels[:, None]
    squares = pdist(points, "sqeuclidean")
    is_within = np.equal.outer(labels, labels)[np.triu_indices(n, 1)]
    classes = [points[labels == label] for label in np.unique(labels)]
    means = np.stack([rows.mean(axis=0) for rows in classes])
    sizes = np.array([len(rows) for rows in classes])
    covariance_within = np.mean([np.cov(rows.T, bias=True) for rows in classes], axis=0)
    covariance_of_means = np.cov(means.T, bias=True)
    scatter_of_means = sizes @ np.square(means - points.mean(axis=0)).sum(axis=1)
    scatter_within = sum(np.square(rows - rows.mean(axis=0)).sum() for rows in classes)

    separation = class_separation(torch.from_numpy(points), labels)

    assert separation.within == pytest.approx(math.sqrt(squares[is_within].mean()), rel=2e-11)
    assert separation.between == pytest.approx(math.sqrt(squares[~is_within].mean()), rel=2e-11)
    assert separation.scatter_ratio == pytest.approx(scatter_of_means / scatter_within, rel=2e-11)
    rank = len(sizes) - 1
    smallest = np.linalg.eigvalsh(covariance_of_means)[-rank]
    inverse = np.linalg.pinv(covariance_of_means, rcond=smallest / np.linalg.norm(covariance_of_means, 2) / 2)
    assert separation.collapse == pytest.approx(np.trace(covariance_within @ inverse) / len(sizes), rel=110 * 2e-11)


def test_collapse_ignores_singular_values_that_are_rounding(monkeypatch):
    points, labels = normal_array(30, 3), np.arange(30) % 3
    expected, svd = class_separation(points, labels).collapse, torch.linalg.svd

    def inaccurate_svd(matrix, **options):
        left, spread, right = svd(matrix, **options)
        return left, spread.clamp(min=1e-12 * spread[0]), right

    monkeypatch.setattr(torch.linalg, "svd", inaccurate_svd)
    assert class_separation(points, labels).collapse == expected


def test_separation_is_infinite_for_classes_that_are_points_and_zero_for_equal_means():
    points = np.array([[0.0, 0], [0, 0], [3, 4], [3, 4]])
    assert class_separation(points, np.array([0, 0, 1, 1])) == ClassSeparation(0, 5, math.inf, 0)
    mixed = class_separation(points, np.array([0, 1, 0, 1]))
    assert (mixed.scatter_ratio, mixed.collapse) == (0, math.inf)


def test_classes_of_one_row_have_no_distance_within():
    assert math.isnan(class_separation(normal_array(3, 2), np.arange(3)).within)


def test_ratios_of_coinciding_rows_are_nan():
    separation = class_separation(np.full((7, 2), 0.1), np.arange(7) % 3)  # the mean of seven times 0.1 is rounded
    assert (separation.within, separation.between) == (0, 0)
    assert math.isnan(separation.scatter_ratio)
    assert math.isnan(separation.collapse)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("points", np.ones(4), ValueError),
        ("points", np.full((4, 2), np.inf), ValueError),
        ("points", np.ones((4, 2), int), TypeError),
        ("points", np.ones((4, 0)), ValueError),
        ("labels", np.zeros(4, int), ValueError),
        ("labels", np.full(4, 0.5), ValueError),
        ("labels", np.arange(3), ValueError),
    ],
)
def test_invalid_argument_is_named(name, value, error):
    with pytest.raises(error, match=f"^{name}: got .*, wanted"):
        class_separation(**{"points": np.ones((4, 2)), "labels": np.arange(4) % 2, name: value})


def test_feature_maps_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"^points: got shape \(4, 2, 3, 3\), wanted \(n, d\); .*\.flatten\(1\)"):
        class_separation(torch.ones(4, 2, 3, 3), torch.arange(4) % 2)
