"""Distances within and between classes against SciPy and NumPy."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from layerbits import pairwise_distance_histogram
from tests.support.random_arrays import normal_array


def lattice(n, d, seed=0):
    """Make points whose squared distances are exact in float32 in any order of summation."""
    return np.random.default_rng(seed).integers(-3, 4, (n, d)).astype(np.float32)


def is_within(labels):
    return np.equal.outer(labels, labels)[np.triu_indices(len(labels), 1)]


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_counts_agree_with_scipy_and_numpy(convert):
    points, labels = lattice(90, 5), np.arange(90) % 3
    distances = np.float32(pdist(points))

    histogram = pairwise_distance_histogram(convert(points), convert(labels), bins=17)

    edges = np.linspace(0, float(distances.max()), 18)
    np.testing.assert_array_equal(histogram.edges, edges)
    np.testing.assert_array_equal(histogram.within, np.histogram(distances[is_within(labels)], edges)[0])
    np.testing.assert_array_equal(histogram.between, np.histogram(distances[~is_within(labels)], edges)[0])
    assert (histogram.outside, histogram.metric) == (0, "euclidean")


def test_cosine_counts_agree_with_scipy_and_numpy():
    points, labels = normal_array(90, 5), np.arange(90) % 3
    distances = pdist(points, "cosine")

    histogram = pairwise_distance_histogram(points, labels, 16, "cosine")

    # No distance of these points lies within rounding of an edge.
    np.testing.assert_array_equal(histogram.edges, np.linspace(0, 2, 17))
    np.testing.assert_array_equal(histogram.within, np.histogram(distances[is_within(labels)], histogram.edges)[0])
    np.testing.assert_array_equal(histogram.between, np.histogram(distances[~is_within(labels)], histogram.edges)[0])


def test_pairs_outside_of_the_range_are_counted():
    points = np.array([[0.0], [1.0], [3.0]])  # distances 1, 2, 3
    histogram = pairwise_distance_histogram(points, bins=2, range=(1.5, 2.5))
    assert (histogram.within.tolist(), histogram.outside) == ([0, 1], 2)


def test_without_labels_all_rows_are_of_one_class():
    histogram = pairwise_distance_histogram(normal_array(30, 2))
    assert (histogram.within.sum(), histogram.between.sum()) == (30 * 29 // 2, 0)
    assert math.isnan(histogram.overlap)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_have_no_pairs(n):
    histogram = pairwise_distance_histogram(np.ones((n, 3)), bins=4)
    assert (histogram.within.tolist(), histogram.outside) == ([0] * 4, 0)


def test_pairs_of_equal_rows_fall_into_the_first_bin():
    histogram = pairwise_distance_histogram(np.ones((5, 3)), bins=4)
    assert (histogram.within.tolist(), histogram.edges[-1]) == ([10, 0, 0, 0], 1)


def test_overlap_is_zero_for_disjoint_distances_and_one_for_equal_distributions():
    clusters, labels = np.array([[0.0], [1], [100], [101]]), np.array([0, 0, 1, 1])
    assert pairwise_distance_histogram(clusters, labels).overlap == 0
    # If the classes are the diagonals of a square, sides lie between classes and diagonals within. If the classes are
    # two sides, both distances within classes and half of the distances between classes are sides.
    square = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
    assert pairwise_distance_histogram(square, np.array([0, 1, 0, 1]), bins=4).overlap == 0
    assert pairwise_distance_histogram(square, np.array([0, 0, 1, 1]), bins=4).overlap == 0.5
    assert pairwise_distance_histogram(square, np.array([0, 1, 0, 1]), bins=1).overlap == 1


def test_data_set_has_the_edges_and_the_pairs_of_each_bin():
    pytest.importorskip("xarray")
    histogram = pairwise_distance_histogram(np.array([[0.0], [1.0], [3.0]]), np.array([0, 0, 1]), bins=3)
    data = histogram.to_xarray()
    assert data.between.dims == ("bin",)
    assert data.lower.values.tolist() == [0, 1, 2]
    assert data.between.values.tolist() == [0, 0, 2]


def test_notebook_form_has_a_picture_of_each_kind_of_pairs():
    points = np.array([[0.0], [0.0], [1.0], [4.0]])
    histogram = pairwise_distance_histogram(points, np.array([0, 0, 0, 1]), bins=2, range=(0, 2))
    page = ElementTree.fromstring(f"<div>{histogram._repr_html_()}</div>")
    heads, within = page.findall(".//tr")  # the pairs between classes are outside
    assert [cell.text for cell in heads] == ["euclidean distance", "pairs", "0 to 2"]
    assert [cell.text for cell in within[:2]] == ["within classes", "3"]
    # One pair in the first and two in the second of two bins of 80 pixels.
    assert within.find(".//svg/path").get("d") == "M0 28V14.0h80.000V0.0h80.000V28Z"
    assert page.find("div").text == "outside these distances: 3 pairs"


@pytest.mark.parametrize("bins", [1, 1000])
@pytest.mark.parametrize("n", [0, 50])
def test_notebook_form_has_a_step_for_each_pixel_at_most(n, bins):
    page = pairwise_distance_histogram(lattice(n, 2), bins=bins)._repr_html_()
    assert page.count("<tr>") == 2 + (n == 0)
    assert page.count("h1.000") == (160 if n and bins == 1000 else 0)


def test_labels_may_have_any_values():
    points, labels = normal_array(40, 2), np.arange(40) % 2
    expected = pairwise_distance_histogram(points, labels)
    renamed = pairwise_distance_histogram(points, 7 - 9 * labels.astype(np.int8))
    np.testing.assert_array_equal(renamed.within, expected.within)


def test_tensor_that_requires_grad_is_accepted():
    assert pairwise_distance_histogram(torch.ones(3, 2, requires_grad=True)).within.sum() == 3


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("points", [[1.0]], TypeError),
        ("points", np.ones((3, 2), int), TypeError),
        ("points", np.ones(3), ValueError),
        ("points", np.full((4, 2), np.nan), ValueError),
        ("points", np.array([[-1.7e308]] * 3 + [[1.7e308]]), ValueError),
        ("labels", np.full(4, 0.5), ValueError),
        ("labels", np.zeros(3, int), ValueError),
        ("bins", 0, ValueError),
        ("bins", 2**24, ValueError),
        ("bins", 2.0, TypeError),
        ("metric", "l2", ValueError),
        ("metric", None, ValueError),
        ("metric", np.array(["euclidean", "cosine"]), ValueError),
        ("range", 1.0, TypeError),
        ("range", "01", TypeError),
        ("range", (0, 1, 2), TypeError),
        ("range", (0, None), TypeError),
        ("range", (1, 1), ValueError),
        ("range", (0, math.inf), ValueError),
        ("range", (math.nan, 1), ValueError),
    ],
)
def test_invalid_argument_is_named(name, value, error):
    with pytest.raises(error, match=f"^{name}: got .*, wanted"):
        pairwise_distance_histogram(**{"points": np.ones((4, 2)), name: value})


def test_zero_row_has_no_cosine_distance():
    with pytest.raises(ValueError, match=r"^points: got only zeros in row 0"):
        pairwise_distance_histogram(np.zeros((3, 2)), metric="cosine")


def test_feature_maps_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"^points: got shape \(4, 2, 3, 3\), wanted \(n, d\); .*\.flatten\(1\)"):
        pairwise_distance_histogram(torch.ones(4, 2, 3, 3))
