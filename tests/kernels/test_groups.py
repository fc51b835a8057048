"""Ragged groups: a row meets the centers of its own group only, and nothing else in the call changes a bit of it."""

import numpy as np
import pytest

from tests.support.exact_mixture import DTYPES, LEVELS, native, native_gradient

POINT_OFFSETS = np.array([0, 5, 5, 22, 23, 23, 40])
CENTER_OFFSETS = np.array([0, 9, 12, 12, 45, 53, 70])
EVERY_LEVEL = pytest.mark.parametrize("level", LEVELS)
BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)


def ragged(dtype, d=4):
    generator = np.random.default_rng(3)
    points, centers = generator.standard_normal((40, d)), generator.standard_normal((70, d))
    return points.astype(dtype), centers.astype(dtype), generator.random(70).astype(dtype)


def groups():
    return list(zip(POINT_OFFSETS[:-1], POINT_OFFSETS[1:], CENTER_OFFSETS[:-1], CENTER_OFFSETS[1:], strict=True))


@EVERY_LEVEL
@BOTH_DTYPES
def test_ragged_call_equals_a_loop_over_dense_calls(level, dtype):
    points, centers, _ = ragged(dtype)
    got = native(points, centers, 0.6, level=level, point_offsets=POINT_OFFSETS, center_offsets=CENTER_OFFSETS)
    want = np.concatenate([native(points[a:b], centers[c:e], 0.6, level=level) for a, b, c, e in groups()])
    np.testing.assert_array_equal(got, want)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("which", [0, 1, 2, 3], ids=["points", "centers", "weights", "sigma"])
def test_ragged_gradient_equals_a_loop_over_dense_calls(level, dtype, which):
    points, centers, _ = ragged(dtype)
    upstream = np.linspace(-1, 2, 40)
    offsets = {"point_offsets": POINT_OFFSETS, "center_offsets": CENTER_OFFSETS}
    got = native_gradient(points, centers, 0.6, upstream, level=level, **offsets)[which]
    parts = [native_gradient(points[a:b], centers[c:e], 0.6, upstream[a:b], level=level) for a, b, c, e in groups()]
    np.testing.assert_array_equal(got, np.concatenate([part[which] for part in parts]))


@BOTH_DTYPES
@pytest.mark.parametrize("row", [0, 6, 22, 39])
def test_other_groups_change_no_bit_of_a_row(dtype, row):
    points, centers, weights = ragged(dtype)
    offsets = {"point_offsets": POINT_OFFSETS, "center_offsets": CENTER_OFFSETS}
    want = native(points, centers, 0.6, weights=weights, **offsets)[row]
    for a, b, c, e in groups():
        if not a <= row < b:
            points[a:b], centers[c:e] = 1e3, -1e3
    assert native(points, centers, 0.6, weights=weights, **offsets)[row] == want


@EVERY_LEVEL
def test_point_without_centers_in_its_group_gives_minus_infinity(level):
    points, centers, _ = ragged(np.float32)
    got = native(points, centers, 0.6, level=level, point_offsets=POINT_OFFSETS, center_offsets=CENTER_OFFSETS)
    np.testing.assert_array_equal(np.isneginf(got), [5 <= i < 22 for i in range(40)])


def test_no_groups_at_all_are_fine():
    empty, none = np.empty((0, 4)), np.array([0])
    assert native(empty, empty, 1.0, point_offsets=none, center_offsets=none).shape == (0,)


@BOTH_DTYPES
def test_thousands_of_small_groups_equal_their_dense_calls(dtype):
    generator = np.random.default_rng(0)
    points, centers = (generator.standard_normal((6000, 2)).astype(dtype) for _ in range(2))
    offsets = np.arange(0, 6001, 3)
    got = native(points, centers, 0.3, threads=2, point_offsets=offsets, center_offsets=offsets)
    want = np.concatenate([native(points[i : i + 3], centers[i : i + 3], 0.3) for i in offsets[:-1]])
    np.testing.assert_array_equal(got, want)


@EVERY_LEVEL
@BOTH_DTYPES
def test_nan_in_a_far_block_of_a_small_group_reaches_all_its_rows_and_no_others(level, dtype):
    # The block of NaN holds nothing else that is near, so that a kernel may pass over it.
    centers = np.concatenate([np.zeros((8, 2)), np.full((8, 2), 1e6), np.zeros((16, 2))]).astype(dtype)
    centers[12, 0] = np.nan
    offsets = {"point_offsets": np.array([0, 3, 6]), "center_offsets": np.array([0, 16, 32])}
    got = native(np.zeros((6, 2), dtype), centers, 1.0, level=level, **offsets)
    np.testing.assert_array_equal(np.isnan(got), [True] * 3 + [False] * 3)


@BOTH_DTYPES
@pytest.mark.parametrize("name", ["points", "centers"])
def test_values_too_large_beside_sigma_in_a_small_group_are_named(dtype, name):
    arrays = {"points": np.zeros((6, 2), dtype), "centers": np.zeros((6, 2), dtype)}
    arrays[name][4, 1] = np.finfo(dtype).max
    offsets = {"point_offsets": np.array([0, 3, 6]), "center_offsets": np.array([0, 3, 6])}
    with pytest.raises(ValueError, match=f"{name}: got a finite value too large beside sigma"):
        native(arrays["points"], arrays["centers"], 1.0, **offsets)
