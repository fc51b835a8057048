"""Histograms of pairwise distances: numpy's own where distances are exact, between two bounds of it elsewhere."""

import re

import numpy as np
import pytest
import torch

from layerbits.kernels import _cpu, reference
from layerbits.kernels import operations as kernels
from tests.support.exact_mixture import DTYPES, LEVELS

BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)
ALL_LEVELS = pytest.mark.parametrize("level", LEVELS)
BOTH_METRICS = pytest.mark.parametrize("metric", kernels.METRICS)

# Less than a tile, tails of tiles and blocks of every width, more than a run of 128; d beyond a panel of 32 and of 256.
SHAPES = pytest.mark.parametrize(
    ("n", "d"), [(2, 1), (3, 2), (8, 5), (17, 3), (31, 33), (128, 4), (129, 10), (300, 2), (150, 300), (40, 1568)]
)


def native(points, edges, **options):
    counts = np.full((len(edges) + 1, 2), -7)
    _cpu.distance_histogram(points, edges, counts, **options)
    return counts


def random(n, d, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


def exact_distances(points, metric):
    """Of all pairs, in long double, and which pair it is."""
    rows = points.astype(np.longdouble)
    if metric == "cosine":
        rows = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))
    i, j = np.triu_indices(len(points), 1)
    distances = np.array([np.sqrt(((rows[a] - rows[b]) ** 2).sum()) for a, b in zip(i, j, strict=True)])
    return (distances if metric == "euclidean" else distances**2 / 2), i, j


@BOTH_DTYPES
@ALL_LEVELS
@SHAPES
def test_counts_are_those_of_numpy_where_distances_are_exact(dtype, level, n, d):
    # Coordinates are small integers, so that squares are exact in any order; edges are 1/2 of integers, and hit some.
    generator = np.random.default_rng(1)
    points = generator.integers(-3, 4, (n, d)).astype(dtype)
    labels = generator.integers(0, 3, n)
    i, j = np.triu_indices(n, 1)
    distances = np.sqrt(((points[i] - points[j]) ** 2).sum(axis=1))
    edges = np.arange(2, 2 + int(3 * d**0.5)) / 2
    same = labels[i] == labels[j]

    counts = native(points, edges, labels=labels, level=level, threads=2)

    for column, chosen in enumerate((distances[~same], distances[same])):
        np.testing.assert_array_equal(counts[1:-1, column], np.histogram(chosen, edges)[0])
        assert counts[0, column] == (chosen < edges[0]).sum()
        assert counts[-1, column] == (chosen > edges[-1]).sum()
    assert _cpu.largest_distance(points, level=level) == distances.max()


def allowed(distances, d, dtype, metric):
    """The bound that kernels.distance_histogram states, which leaves second orders of eps to its round numbers."""
    eps = np.finfo(dtype).eps
    if metric == "euclidean":
        return (11 + d / 1024) * eps * distances
    return (40 + d / 60) * eps * distances + 2 * eps * np.sqrt(distances) + eps**2


@BOTH_DTYPES
@BOTH_METRICS
@ALL_LEVELS
@pytest.mark.parametrize(("n", "d", "spread"), [(60, 3, 1.0), (60, 3, 1e-4), (50, 77, 1e-6), (40, 1568, 0.1)])
def test_cumulative_counts_lie_between_those_of_the_stated_error(dtype, metric, level, n, d, spread):
    """Edges are the exact distances themselves: whatever errs by more than is stated comes to a wrong side of one."""
    points = (1 + spread * random(n, d)).astype(dtype)
    distances, *_ = exact_distances(points, metric)
    error = allowed(distances, d, dtype, metric)
    edges = np.sort(distances.astype(np.float64))

    below = native(points, edges, metric=metric, level=level).sum(axis=1).cumsum()[: len(edges)]

    surely, perhaps = np.sort(distances + error), np.sort(distances - error)
    assert (np.searchsorted(surely, edges) <= below).all()
    assert (below <= np.searchsorted(perhaps, edges)).all()


@BOTH_DTYPES
@ALL_LEVELS
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_distance_at_an_edge_and_beside_it_falls_where_numpy_puts_it(dtype, level, scale):
    # In one dimension the root of a rounded square is the number itself.
    edges = scale * np.linspace(0.1, 0.9, 33)
    nearest = edges.astype(dtype)
    around = np.concatenate([nearest, np.nextafter(nearest, dtype(0)), np.nextafter(nearest, dtype(np.inf))])
    for distance in around:
        counts = native(np.array([[distance], [0]]), edges, level=level)[1:-1, 1]
        np.testing.assert_array_equal(counts, np.histogram([float(distance)], edges)[0])


@BOTH_DTYPES
@pytest.mark.parametrize("range_", [(0.0, 3.0), (2.5, 2.500001), (-5.0, 100.0), (1.0, 1.0)])
def test_bins_finer_than_the_dtype_and_beyond_the_data_lose_no_pair(dtype, range_):
    points, edges = random(70, 2, dtype), np.linspace(*range_, 500)
    # The twin computes in float64, so only what it gets from rounded distances can be compared.
    i, j = np.triu_indices(70, 1)
    difference = points[i] - points[j]
    distances = np.sqrt(difference[:, 0] ** 2 + difference[:, 1] ** 2)

    counts = native(points, edges).sum(axis=1)

    assert counts.sum() == 70 * 69 // 2
    np.testing.assert_allclose(counts[0], (distances < edges[0]).sum(), atol=1)  # the fused sum may round otherwise
    np.testing.assert_allclose(counts[-1], (distances > edges[-1]).sum(), atol=1)


@pytest.mark.parametrize("metric", kernels.METRICS)
def test_counts_are_those_of_the_slow_twin(metric):
    points, labels = random(90, 6), np.arange(90) % 4
    edges = np.linspace(0.1, 2, 30)  # no distance of these falls within rounding of an edge: the twin agrees
    want = reference.distance_histogram(points, edges, labels=labels, metric=metric)
    np.testing.assert_array_equal(native(points, edges, labels=labels, metric=metric), want)


def test_directions_that_are_equal_orthogonal_or_opposite_have_cosine_distances_0_1_and_2():
    points = np.array([[3.0, 0], [0.001, 0], [0, 7], [-1e200, 0]])

    counts = native(points, np.array([0.0, 0.5, 1.0, 1.5, 2.0]), metric="cosine")[:, 1]

    # (3, 0) with (0.001, 0); both with (0, 7), and (0, 7) with (-1e200, 0); both with (-1e200, 0).
    assert counts.tolist() == [0, 1, 0, 3, 2, 0]


@BOTH_DTYPES
def test_opposite_directions_never_exceed_2(dtype):
    half = random(200, 7, dtype)
    points = np.concatenate([half, -half])
    counts = native(points, np.linspace(0, 2, 11), metric="cosine")
    assert counts[[0, -1]].sum() == 0
    assert _cpu.largest_distance(points, metric="cosine") <= 2


@BOTH_DTYPES
@BOTH_METRICS
def test_largest_distance_is_the_last_that_the_histogram_counts(dtype, metric):
    points = random(133, 9, dtype)
    largest = _cpu.largest_distance(points, metric=metric)
    assert native(points, np.array([0, largest]), metric=metric).sum(axis=1).tolist() == [0, 133 * 66, 0]
    assert native(points, np.array([0, np.nextafter(largest, 0)]), metric=metric).sum(axis=1)[-1] >= 1


@BOTH_DTYPES
@pytest.mark.parametrize("exponent", [-30, -3, 40])
def test_power_of_two_scales_distances_exactly(dtype, exponent):
    points, edges = random(50, 20, dtype), np.linspace(0, 12, 40)
    want = native(points, edges)
    np.testing.assert_array_equal(native(points * dtype(2.0**exponent), edges * 2.0**exponent), want)


@BOTH_DTYPES
@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_ends_of_the_range_of_the_dtype_neither_over_nor_underflow(dtype, end):
    limits = np.finfo(dtype)
    unit = limits.max / 4 if end == "largest" else limits.tiny
    points = np.array([[0, 0], [3, 0], [0, 4]], dtype) * unit / 4
    edges = np.array([2.5, 3.5, 4.5, 5.5]) * (float(unit) / 4)
    assert native(points, edges)[:, 1].tolist() == [0, 1, 1, 1, 0]


@BOTH_DTYPES
@pytest.mark.parametrize("edge", [1e-25, 1e-200])
def test_distance_of_0_lies_below_an_edge_whose_square_underflows(dtype, edge):
    assert native(np.ones((2, 3), dtype), np.array([edge, 1.0]))[:, 1].tolist() == [1, 0, 0]


# One bit of one distance would move some pair over one of so many edges.
FINE = np.linspace(0, 10, 2**18)


@BOTH_DTYPES
@BOTH_METRICS
@SHAPES
def test_avx2_and_avx512_agree_on_every_pair(dtype, metric, n, d):
    if not {"avx2", "avx512"} <= set(LEVELS):
        pytest.skip(f"needs a machine with AVX2 and AVX-512; this one has {', '.join(LEVELS)}")
    points = random(n, d, dtype)
    wide, narrow = (native(points, FINE, metric=metric, level=level) for level in ("avx512", "avx2"))
    np.testing.assert_array_equal(wide, narrow)


@BOTH_DTYPES
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_number_of_threads_changes_no_count(dtype, threads):
    points, labels = random(700, 12, dtype), np.arange(700) % 5
    want = native(points, FINE, labels=labels)
    np.testing.assert_array_equal(native(points, FINE, labels=labels, threads=threads), want)
    assert _cpu.largest_distance(points, threads=threads) == _cpu.largest_distance(points)


@BOTH_DTYPES
@BOTH_METRICS
@ALL_LEVELS
def test_order_of_the_rows_changes_no_count(dtype, metric, level):
    points, labels, order = random(201, 37, dtype), np.arange(201) % 3, np.random.default_rng(5).permutation(201)
    want = native(points, FINE, labels=labels, metric=metric, level=level)
    np.testing.assert_array_equal(native(points[order], FINE, labels=labels[order], metric=metric, level=level), want)


@BOTH_METRICS
@pytest.mark.parametrize("layout", ["transposed", "every other", "backwards"])
def test_memory_layout_changes_no_count(metric, layout):
    points, labels = random(45, 9), np.arange(45) % 2
    laid_out = {
        "transposed": np.ascontiguousarray(points.T).T,
        "every other": np.repeat(points, 2, axis=0)[::2],
        "backwards": np.ascontiguousarray(points[::-1])[::-1],
    }[layout]
    got = native(laid_out, FINE, labels=np.repeat(labels, 2)[::2], metric=metric)
    np.testing.assert_array_equal(got, native(points, FINE, labels=labels, metric=metric))


def test_labels_of_any_value_are_only_compared():
    points, labels = random(60, 3), np.arange(60) % 3
    odd = np.array([-(2**63), 2**63 - 1, 0])[labels]
    np.testing.assert_array_equal(native(points, FINE, labels=odd), native(points, FINE, labels=labels))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_have_no_pairs(n):
    assert native(np.ones((n, 3)), np.array([0.0, 1.0])).tolist() == [[0, 0]] * 3
    assert _cpu.largest_distance(np.ones((n, 3))) == 0


@BOTH_DTYPES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("verb", ["histogram", "largest"])
def test_value_that_is_not_finite_is_refused_and_its_row_named(dtype, bad, verb):
    points = random(140, 3, dtype)
    points[133, 1] = bad
    with pytest.raises(ValueError, match=r"^points: got NaN or infinity in row 133, wanted finite numbers"):
        native(points, FINE) if verb == "histogram" else _cpu.largest_distance(points)


def test_zero_row_is_refused_where_direction_counts_alone():
    points = random(5, 3)
    points[2] = 0
    assert native(points, FINE).sum() == 10
    with pytest.raises(ValueError, match=r"^points: got only zeros in row 2, which has no direction"):
        native(points, FINE, metric="cosine")


@pytest.mark.parametrize(
    "edges", [[], [1.0], [0, 1, 0.5], [0, np.nan], [-np.inf, 0], [0, np.inf]], ids=lambda edges: str(edges)
)
def test_edges_that_are_no_range_are_refused(edges):
    with pytest.raises(ValueError, match=r"^edges: got .*, wanted"):
        native(random(3, 2), np.array(edges, float))


GOOD = {
    "points": np.ones((4, 3)),
    "edges": np.array([0.0, 1.0]),
    "counts": np.zeros((3, 2), np.int64),
    "labels": np.zeros(4, np.int64),
}


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("points", [[0.0]], TypeError),
        ("points", np.ones((4, 3), np.int64), TypeError),
        ("points", np.ones(4), ValueError),
        ("points", np.ones((4, 0)), ValueError),
        ("edges", np.zeros(2, np.float32), TypeError),
        ("edges", np.zeros((2, 1)), ValueError),
        ("counts", np.zeros((3, 2)), TypeError),
        ("counts", np.zeros((2, 2), np.int64), ValueError),
        ("counts", np.zeros((3, 3), np.int64), ValueError),
        ("labels", np.zeros(3, np.int64), ValueError),
        ("labels", np.zeros(4, np.int32), TypeError),
    ],
)
def test_bad_argument_is_refused_by_name(name, value, error):
    with pytest.raises(error, match=f"^{re.escape(name)}: "):
        _cpu.distance_histogram(**GOOD | {name: value})


def test_read_only_counts_are_refused():
    counts = np.zeros((3, 2), np.int64)
    counts.flags.writeable = False
    with pytest.raises(ValueError, match=r"^counts: got a read-only array"):
        _cpu.distance_histogram(**GOOD | {"counts": counts})


@pytest.mark.parametrize("metric", ["Euclidean", "", "l2"])
def test_unknown_metric_is_refused_by_the_core_and_at_the_door(metric):
    with pytest.raises(ValueError, match=r"^metric: got .*, wanted one of euclidean, cosine"):
        _cpu.distance_histogram(**GOOD, metric=metric)
    with pytest.raises(ValueError, match=r"^metric: got .*, wanted one of euclidean, cosine"):
        kernels.largest_distance(torch.ones(3, 2), metric=metric)


def test_failed_call_leaves_counts_as_they_were():
    counts = np.full((3, 2), 7)
    with pytest.raises(ValueError, match="points"):
        _cpu.distance_histogram(np.full((4, 3), np.nan), GOOD["edges"], counts)
    assert (counts == 7).all()


@pytest.mark.parametrize("pair", [(0, 1), (0, 63), (62, 63), (63, 64), (3, 129), (128, 129)])
def test_largest_distance_is_found_wherever_it_is(pair):
    points = np.zeros((130, 1))
    points[list(pair), 0] = 1, -1
    assert _cpu.largest_distance(points) == 2
