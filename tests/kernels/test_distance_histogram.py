"""Histograms of pairwise distances and the largest distance: error bounds and bits."""

import numpy as np
import pytest

from layerbits.kernels import _cpu, reference
from layerbits.kernels.operations import METRICS
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, NEEDS_AVX2_AND_AVX512, distance_histogram
from tests.support.random_arrays import normal_array

BOTH_METRICS = pytest.mark.parametrize("metric", METRICS)

# (n, d): n is less than a tile, leaves tails of tiles and blocks, or exceeds a run of 128 rows; d is below or above a
# panel of 32 dimensions.
SHAPES = [(2, 1), (3, 2), (8, 5), (17, 3), (31, 33), (128, 4), (129, 10), (300, 2), (150, 300), (40, 1568)]


@BOTH_DTYPES
@EVERY_LEVEL
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_counts_are_those_of_numpy_for_exact_distances(dtype, level, n, d):
    # Coordinates are small integers, so that squares are exact in any order; edges are multiples of 1/2, and some
    # distances are edges.
    generator = np.random.default_rng(1)
    points = generator.integers(-3, 4, (n, d)).astype(dtype)
    labels = generator.integers(0, 3, n)
    i, j = np.triu_indices(n, 1)
    distances = np.sqrt(((points[i] - points[j]) ** 2).sum(axis=1))
    edges = np.arange(2, 2 + int(3 * d**0.5)) / 2
    same_class = labels[i] == labels[j]

    counts = distance_histogram(points, edges, labels=labels, level=level, threads=2)

    for column, subset in enumerate((distances[~same_class], distances[same_class])):
        np.testing.assert_array_equal(counts[1:-1, column], np.histogram(subset, edges)[0])
        assert counts[0, column] == (subset < edges[0]).sum()
        assert counts[-1, column] == (subset > edges[-1]).sum()
    assert _cpu.largest_distance(points, level=level) == distances.max()


def exact_distances(points, metric):
    """Return the distances of all pairs in np.longdouble."""
    rows = points.astype(np.longdouble)
    if metric == "cosine":
        rows = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))
    i, j = np.triu_indices(len(points), 1)
    squares = ((rows[i] - rows[j]) ** 2).sum(axis=1)
    return np.sqrt(squares) if metric == "euclidean" else squares / 2


def edges_at_distances(points, metric="euclidean"):
    """Return edges at the rounded distances, so that a wrong last bit moves many pairs to another bin."""
    distances = exact_distances(points, metric).astype(points.dtype).astype(np.float64)
    return np.unique([0.0, *distances, 2 * distances.max()])


def error_bound(distances, d, dtype, metric):
    """Return the bound of `operations.distance_histogram`, which includes terms of second order in eps."""
    eps = np.finfo(dtype).eps
    if metric == "euclidean":
        return (11 + d / 1024) * eps * distances
    return (40 + d / 60) * eps * distances + 2 * eps * np.sqrt(distances) + eps**2


@BOTH_DTYPES
@BOTH_METRICS
@EVERY_LEVEL
@pytest.mark.parametrize(("n", "d", "spread"), [(60, 3, 1.0), (60, 3, 1e-4), (50, 77, 1e-6), (40, 1568, 0.1)])
def test_cumulative_counts_lie_between_those_at_the_error_bounds(dtype, metric, level, n, d, spread):
    # The edges are the exact distances: a distance whose error exceeds the bound is on the wrong side of an edge.
    points = (1 + spread * normal_array(n, d)).astype(dtype)
    distances = exact_distances(points, metric)
    error = error_bound(distances, d, dtype, metric)
    edges = np.sort(distances.astype(np.float64))

    cumulative = distance_histogram(points, edges, metric=metric, level=level).sum(axis=1).cumsum()[: len(edges)]

    assert (np.searchsorted(np.sort(distances + error), edges) <= cumulative).all()
    assert (cumulative <= np.searchsorted(np.sort(distances - error), edges)).all()


@BOTH_DTYPES
@EVERY_LEVEL
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_distance_at_or_next_to_an_edge_is_in_the_bin_of_numpy(dtype, level, scale):
    # A distance in one dimension is the root of a rounded square, which is the number itself.
    edges = scale * np.linspace(0.1, 0.9, 33)
    nearest = edges.astype(dtype)
    neighbours = np.concatenate([nearest, np.nextafter(nearest, dtype(0)), np.nextafter(nearest, dtype(np.inf))])
    for distance in neighbours:
        counts = distance_histogram(np.array([[distance], [0]]), edges, level=level)[1:-1, 1]
        np.testing.assert_array_equal(counts, np.histogram([float(distance)], edges)[0])


@BOTH_DTYPES
@pytest.mark.parametrize("ends", [(0.0, 3.0), (2.5, 2.500001), (-5.0, 100.0), (1.0, 1.0)])
def test_every_pair_is_counted_for_bins_finer_than_the_dtype_and_beyond_the_data(dtype, ends):
    points, edges = normal_array(70, 2, dtype=dtype), np.linspace(*ends, 500)
    # Distances are rounded to the dtype, as in the kernel; the reference would compute in float64.
    i, j = np.triu_indices(70, 1)
    difference = points[i] - points[j]
    distances = np.sqrt(difference[:, 0] ** 2 + difference[:, 1] ** 2)

    counts = distance_histogram(points, edges).sum(axis=1)

    assert counts.sum() == 70 * 69 // 2
    np.testing.assert_allclose(counts[0], (distances < edges[0]).sum(), atol=1)  # a fused sum may round differently
    np.testing.assert_allclose(counts[-1], (distances > edges[-1]).sum(), atol=1)


@BOTH_METRICS
def test_counts_are_those_of_the_reference(metric):
    points, labels = normal_array(90, 6), np.arange(90) % 4
    edges = np.linspace(0.1, 2, 30)  # no distance of these points is within rounding of an edge
    expected = reference.distance_histogram(points, edges, labels=labels, metric=metric)
    np.testing.assert_array_equal(distance_histogram(points, edges, labels=labels, metric=metric), expected)


def test_equal_orthogonal_and_opposite_directions_have_cosine_distances_0_1_and_2():
    points = np.array([[3.0, 0], [0.001, 0], [0, 7], [-1e200, 0]])

    counts = distance_histogram(points, np.array([0.0, 0.5, 1.0, 1.5, 2.0]), metric="cosine")[:, 1]

    # Distance 0: (3, 0) and (0.001, 0). Distance 1: (0, 7) and each other row. Distance 2: (-1e200, 0) and the first
    # two rows.
    assert counts.tolist() == [0, 1, 0, 3, 2, 0]


@BOTH_DTYPES
def test_cosine_distances_of_opposite_directions_do_not_exceed_2(dtype):
    rows = normal_array(200, 7, dtype=dtype)
    points = np.concatenate([rows, -rows])
    counts = distance_histogram(points, np.linspace(0, 2, 11), metric="cosine")
    assert counts[[0, -1]].sum() == 0
    assert _cpu.largest_distance(points, metric="cosine") <= 2


@BOTH_DTYPES
@BOTH_METRICS
def test_largest_distance_is_the_largest_that_the_histogram_counts(dtype, metric):
    points = normal_array(133, 9, dtype=dtype)
    largest = _cpu.largest_distance(points, metric=metric)
    assert distance_histogram(points, np.array([0, largest]), metric=metric).sum(axis=1).tolist() == [0, 133 * 66, 0]
    smaller_range = np.array([0, np.nextafter(largest, 0)])
    assert distance_histogram(points, smaller_range, metric=metric).sum(axis=1)[-1] >= 1


@pytest.mark.parametrize("pair", [(0, 1), (0, 63), (62, 63), (63, 64), (3, 129), (128, 129)])
def test_largest_distance_is_found_at_any_pair_of_rows(pair):
    points = np.zeros((130, 1))
    points[list(pair), 0] = 1, -1
    assert _cpu.largest_distance(points) == 2


@BOTH_DTYPES
@pytest.mark.parametrize("exponent", [-30, -3, 40])
def test_power_of_two_scales_distances_exactly(dtype, exponent):
    points, edges = normal_array(50, 20, dtype=dtype), np.linspace(0, 12, 40)
    scaled = distance_histogram(points * dtype(2.0**exponent), edges * 2.0**exponent)
    np.testing.assert_array_equal(scaled, distance_histogram(points, edges))


@BOTH_DTYPES
@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_distances_at_the_ends_of_the_range_of_the_dtype_are_counted(dtype, end):
    limits = np.finfo(dtype)
    unit = limits.max / 4 if end == "largest" else limits.tiny
    points = np.array([[0, 0], [3, 0], [0, 4]], dtype) * unit / 4
    edges = np.array([2.5, 3.5, 4.5, 5.5]) * (float(unit) / 4)
    assert distance_histogram(points, edges)[:, 1].tolist() == [0, 1, 1, 1, 0]


@BOTH_DTYPES
@pytest.mark.parametrize("edge", [1e-25, 1e-200])
def test_distance_of_0_is_below_an_edge_whose_square_underflows(dtype, edge):
    assert distance_histogram(np.ones((2, 3), dtype), np.array([edge, 1.0]))[:, 1].tolist() == [1, 0, 0]


@NEEDS_AVX2_AND_AVX512
@BOTH_DTYPES
@BOTH_METRICS
def test_avx2_and_avx512_have_equal_counts(dtype, metric):
    for n, d in SHAPES:
        points = normal_array(n, d, dtype=dtype)
        edges = edges_at_distances(points, metric)
        avx512, avx2 = (distance_histogram(points, edges, metric=metric, level=level) for level in ("avx512", "avx2"))
        np.testing.assert_array_equal(avx512, avx2, err_msg=f"{n} {d}")


@pytest.mark.cpu_only("threads")
@BOTH_DTYPES
def test_number_of_threads_changes_no_count(dtype):
    # The search for a bin takes up to as many steps as there are edges; a 64th of the edges keeps the test short.
    points, labels = normal_array(700, 12, dtype=dtype), np.arange(700) % 5
    edges = edges_at_distances(points)[::64]
    expected, largest = distance_histogram(points, edges, labels=labels), _cpu.largest_distance(points)
    for threads in (2, 3, 8):
        counts = distance_histogram(points, edges, labels=labels, threads=threads)
        np.testing.assert_array_equal(counts, expected)
        assert _cpu.largest_distance(points, threads=threads) == largest


@BOTH_DTYPES
@BOTH_METRICS
@EVERY_LEVEL
def test_order_of_the_rows_changes_no_count(dtype, metric, level):
    points, labels = normal_array(201, 37, dtype=dtype), np.arange(201) % 3
    order, edges = np.random.default_rng(5).permutation(201), edges_at_distances(points, metric)
    original, permuted = (
        distance_histogram(points[rows], edges, labels=labels[rows], metric=metric, level=level)
        for rows in (slice(None), order)
    )
    np.testing.assert_array_equal(permuted, original)


@BOTH_METRICS
@pytest.mark.parametrize("layout", ["transposed", "every other", "reversed"])
def test_memory_layout_changes_no_count(metric, layout):
    points, labels = normal_array(45, 9), np.arange(45) % 2
    edges = edges_at_distances(points, metric)
    strided_points = {
        "transposed": np.ascontiguousarray(points.T).T,
        "every other": np.repeat(points, 2, axis=0)[::2],
        "reversed": np.ascontiguousarray(points[::-1])[::-1],
    }[layout]
    counts = distance_histogram(strided_points, edges, labels=np.repeat(labels, 2)[::2], metric=metric)
    np.testing.assert_array_equal(counts, distance_histogram(points, edges, labels=labels, metric=metric))


def test_labels_may_have_any_values():
    points, labels, edges = normal_array(60, 3), np.arange(60) % 3, np.linspace(0, 6, 100)
    extreme_labels = np.array([-(2**63), 2**63 - 1, 0])[labels]
    np.testing.assert_array_equal(
        distance_histogram(points, edges, labels=extreme_labels), distance_histogram(points, edges, labels=labels)
    )


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_have_no_pairs(n):
    assert distance_histogram(np.ones((n, 3)), np.array([0.0, 1.0])).tolist() == [[0, 0]] * 3
    assert _cpu.largest_distance(np.ones((n, 3))) == 0
