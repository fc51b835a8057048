"""Distances within and between classes against scipy and numpy; measures of separation against their definitions."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from layerbits import class_separation, pairwise_distance_histogram
from layerbits.geometry import clustering


def lattice(n, d, seed=0):
    """Points whose squared distances are exact in float32 in any order of summation."""
    return np.random.default_rng(seed).integers(-3, 4, (n, d)).astype(np.float32)


def random(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def is_within(labels):
    return np.equal.outer(labels, labels)[np.triu_indices(len(labels), 1)]


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_counts_are_those_of_scipy_and_numpy(kind):
    points, labels = lattice(90, 5), np.arange(90) % 3
    distances = np.float32(pdist(points))

    found = pairwise_distance_histogram(kind(points), kind(labels), bins=17)

    edges = np.linspace(0, float(distances.max()), 18)
    np.testing.assert_array_equal(found.edges, edges)
    np.testing.assert_array_equal(found.within, np.histogram(distances[is_within(labels)], edges)[0])
    np.testing.assert_array_equal(found.between, np.histogram(distances[~is_within(labels)], edges)[0])
    assert (found.outside, found.metric) == (0, "euclidean")


def test_cosine_counts_are_those_of_scipy_and_numpy():
    points, labels = random(90, 5), np.arange(90) % 3
    distances = pdist(points, "cosine")

    found = pairwise_distance_histogram(points, labels, 16, "cosine")

    # No distance is within rounding of an edge.
    np.testing.assert_array_equal(found.edges, np.linspace(0, 2, 17))
    np.testing.assert_array_equal(found.within, np.histogram(distances[is_within(labels)], found.edges)[0])
    np.testing.assert_array_equal(found.between, np.histogram(distances[~is_within(labels)], found.edges)[0])


def test_pairs_outside_of_a_range_are_told():
    points = np.array([[0.0], [1.0], [3.0]])  # distances 1, 2, 3
    found = pairwise_distance_histogram(points, bins=2, range=(1.5, 2.5))
    assert (found.within.tolist(), found.outside) == ([0, 1], 2)


def test_without_labels_all_rows_are_of_one_class():
    found = pairwise_distance_histogram(random(30, 2))
    assert (found.within.sum(), found.between.sum()) == (30 * 29 // 2, 0)
    assert math.isnan(found.overlap)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_have_no_pairs(n):
    found = pairwise_distance_histogram(np.ones((n, 3)), bins=4)
    assert (found.within.tolist(), found.outside) == ([0] * 4, 0)


def test_equal_rows_stand_in_the_first_bin():
    found = pairwise_distance_histogram(np.ones((5, 3)), bins=4)
    assert (found.within.tolist(), found.edges[-1]) == ([10, 0, 0, 0], 1)


def test_overlap_is_none_where_one_distance_tells_kinds_apart_and_full_where_they_are_alike():
    clusters, labels = np.array([[0.0], [1], [100], [101]]), np.array([0, 0, 1, 1])
    assert pairwise_distance_histogram(clusters, labels).overlap == 0
    # Of a square: with diagonal classes its sides are between and its diagonals within; with two sides as classes both
    # distances within are sides, and half of those between.
    square = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
    assert pairwise_distance_histogram(square, np.array([0, 1, 0, 1]), bins=4).overlap == 0
    assert pairwise_distance_histogram(square, np.array([0, 0, 1, 1]), bins=4).overlap == 0.5
    assert pairwise_distance_histogram(square, np.array([0, 1, 0, 1]), bins=1).overlap == 1


def test_labels_may_have_any_values():
    points, labels = random(40, 2), np.arange(40) % 2
    one, other = (pairwise_distance_histogram(points, given) for given in (labels, 7 - 9 * labels.astype(np.int8)))
    np.testing.assert_array_equal(one.within, other.within)


def test_tensor_that_requires_grad_is_taken():
    assert pairwise_distance_histogram(torch.ones(3, 2, requires_grad=True)).within.sum() == 3


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("points", [[1.0]], TypeError),
        ("points", np.ones((3, 2), int), TypeError),
        ("points", np.ones(3), ValueError),
        ("points", np.full((4, 2), np.nan), ValueError),
        ("points", np.array([[-1.7e308]] * 3 + [[1.7e308]]), ValueError),
        ("labels", np.zeros(4), TypeError),
        ("labels", np.zeros(3, int), ValueError),
        ("bins", 0, ValueError),
        ("bins", 2**24, ValueError),
        ("bins", 2.0, TypeError),
        ("metric", "l2", ValueError),
        ("metric", None, ValueError),
        ("range", 1.0, TypeError),
        ("range", "01", TypeError),
        ("range", (0, 1, 2), TypeError),
        ("range", (0, None), TypeError),
        ("range", (1, 1), ValueError),
        ("range", (0, math.inf), ValueError),
        ("range", (math.nan, 1), ValueError),
    ],
)
def test_bad_argument_is_refused_by_name(name, value, error):
    with pytest.raises(error, match=f"^{name}: got .*, wanted"):
        pairwise_distance_histogram(**{"points": np.ones((4, 2)), name: value})


def test_zero_row_is_refused_under_cosine():
    with pytest.raises(ValueError, match=r"^points: got only zeros in row 0"):
        pairwise_distance_histogram(np.zeros((3, 2)), metric="cosine")


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_separation_of_two_pairs_on_the_line(shift):
    points = np.array([[-1.25], [-0.75], [0.75], [1.25]]) + shift  # exact in binary
    found = class_separation(points, np.array([5, 5, -5, -5]))
    assert found.within == 0.5
    assert found.between == math.sqrt(4.125)  # of 2^2, 2^2, 1.5^2, 2.5^2
    assert found.scatter_ratio == 16  # 1 over 1/16
    assert found.collapse == pytest.approx(1 / 32, rel=1e-14)  # 1/16 over 1, over two classes; some eps by the SVD


@pytest.mark.parametrize(("n", "d"), [(40, 3), (30, 60)])
def test_separation_is_what_its_definitions_say(n, d):
    """Relative rounding of sums of n^2 d < 1e5 terms of one sign stays below 1e5 eps = 2e-11; of inverses, as much."""
    labels = np.arange(n) % 3 + (np.arange(n) < 6)  # of unequal sizes
    points = random(n, d) + labels[:, None]
    squares = pdist(points, "sqeuclidean")
    of_class = [points[labels == one] for one in np.unique(labels)]
    means = np.stack([rows.mean(axis=0) for rows in of_class])
    sizes = np.array([len(rows) for rows in of_class])
    inner = np.mean([np.cov(rows.T, bias=True) for rows in of_class], axis=0)
    outer = np.cov(means.T, bias=True)
    about_mean = sizes @ np.square(means - points.mean(axis=0)).sum(axis=1)
    about_means = sum(np.square(rows - rows.mean(axis=0)).sum() for rows in of_class)

    found = class_separation(torch.from_numpy(points), labels)

    assert found.within == pytest.approx(math.sqrt(squares[is_within(labels)].mean()), rel=2e-11)
    assert found.between == pytest.approx(math.sqrt(squares[~is_within(labels)].mean()), rel=2e-11)
    assert found.scatter_ratio == pytest.approx(about_mean / about_means, rel=2e-11)
    rank = len(sizes) - 1
    smallest = np.linalg.eigvalsh(outer)[-rank]
    inverse = np.linalg.pinv(outer, rcond=smallest / np.linalg.norm(outer, 2) / 2)
    assert found.collapse == pytest.approx(np.trace(inner @ inverse) / len(sizes), rel=1e-9)


def test_directions_in_which_means_do_not_differ_are_left_out_whatever_rounding_leaves_of_them(monkeypatch):
    points, labels = random(30, 3), np.arange(30) % 3
    want, decompose = class_separation(points, labels).collapse, torch.linalg.svd

    def coarse(matrix, **options):
        left, spread, right = decompose(matrix, **options)
        return left, spread.clamp(min=1e-12 * spread[0]), right

    monkeypatch.setattr(torch.linalg, "svd", coarse)
    assert class_separation(points, labels).collapse == want


def test_classes_that_are_points_are_apart_and_classes_of_one_mean_are_not():
    points = np.array([[0.0, 0], [0, 0], [3, 4], [3, 4]])
    assert class_separation(points, np.array([0, 0, 1, 1])) == clustering.ClassSeparation(0, 5, math.inf, 0)
    mixed = class_separation(points, np.array([0, 1, 0, 1]))
    assert (mixed.scatter_ratio, mixed.collapse) == (0, math.inf)


def test_classes_of_one_row_have_no_distance_within():
    assert math.isnan(class_separation(random(3, 2), np.arange(3)).within)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("points", np.ones(4), ValueError),
        ("points", np.full((4, 2), np.inf), ValueError),
        ("points", np.ones((4, 2), int), TypeError),
        ("labels", np.zeros(4, int), ValueError),
        ("labels", np.zeros(4), TypeError),
        ("labels", np.arange(3), ValueError),
    ],
)
def test_separation_refuses_a_bad_argument_by_name(name, value, error):
    with pytest.raises(error, match=f"^{name}: got .*, wanted"):
        class_separation(**{"points": np.ones((4, 2)), "labels": np.arange(4) % 2, name: value})


def test_maps_of_a_convolution_are_refused_with_what_to_do():
    maps, labels = torch.ones(4, 2, 3, 3), torch.arange(4) % 2
    for measure in (class_separation, pairwise_distance_histogram):
        with pytest.raises(ValueError, match=r"^points: got shape \(4, 2, 3, 3\), wanted \(n, d\); .*\.flatten\(1\)"):
            measure(maps, labels)
