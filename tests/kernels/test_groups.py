"""Groups of different sizes: a row depends on the centers of its own group alone, with the bits of a separate call."""

import numpy as np
import pytest

from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, Gradients, gradients, log_sum_exp

POINT_OFFSETS = np.array([0, 5, 5, 22, 23, 23, 40])
CENTER_OFFSETS = np.array([0, 9, 12, 12, 45, 53, 70])
OFFSETS = {"point_offsets": POINT_OFFSETS, "center_offsets": CENTER_OFFSETS}


def ragged_problem(dtype, d=4):
    """Return 40 points, 70 centers and their weights."""
    generator = np.random.default_rng(3)
    points, centers = generator.standard_normal((40, d)), generator.standard_normal((70, d))
    return points.astype(dtype), centers.astype(dtype), generator.random(70).astype(dtype)


def groups():
    return list(zip(POINT_OFFSETS[:-1], POINT_OFFSETS[1:], CENTER_OFFSETS[:-1], CENTER_OFFSETS[1:], strict=True))


@EVERY_LEVEL
@BOTH_DTYPES
def test_ragged_call_equals_a_call_for_each_group(level, dtype):
    points, centers, _ = ragged_problem(dtype)
    log_sum = log_sum_exp(points, centers, 0.6, level=level, **OFFSETS)
    expected = np.concatenate([log_sum_exp(points[a:b], centers[c:e], 0.6, level=level) for a, b, c, e in groups()])
    np.testing.assert_array_equal(log_sum, expected)


@EVERY_LEVEL
@BOTH_DTYPES
def test_ragged_gradient_equals_a_call_for_each_group(level, dtype):
    points, centers, _ = ragged_problem(dtype)
    upstream = np.linspace(-1, 2, 40)
    ragged_gradients = gradients(points, centers, 0.6, upstream, level=level, **OFFSETS)
    group_gradients = [gradients(points[a:b], centers[c:e], 0.6, upstream[a:b], level=level) for a, b, c, e in groups()]
    for name in Gradients._fields:
        expected = np.concatenate([getattr(gradient, name) for gradient in group_gradients])
        np.testing.assert_array_equal(getattr(ragged_gradients, name), expected, err_msg=name)


@BOTH_DTYPES
@pytest.mark.parametrize("row", [0, 6, 22, 39])
def test_other_groups_change_no_bit_of_a_row(dtype, row):
    points, centers, weights = ragged_problem(dtype)
    expected = log_sum_exp(points, centers, 0.6, weights=weights, **OFFSETS)[row]
    for a, b, c, e in groups():
        if not a <= row < b:
            points[a:b], centers[c:e] = 1e3, -1e3
    assert log_sum_exp(points, centers, 0.6, weights=weights, **OFFSETS)[row] == expected


@EVERY_LEVEL
def test_point_without_centers_in_its_group_gives_minus_infinity(level):
    points, centers, _ = ragged_problem(np.float32)
    log_sum = log_sum_exp(points, centers, 0.6, level=level, **OFFSETS)
    np.testing.assert_array_equal(np.isneginf(log_sum), [5 <= i < 22 for i in range(40)])


def test_zero_groups_give_no_results():
    empty, offsets = np.empty((0, 4)), np.array([0])
    assert log_sum_exp(empty, empty, 1.0, point_offsets=offsets, center_offsets=offsets).shape == (0,)


@BOTH_DTYPES
def test_thousands_of_small_groups_equal_a_call_for_each_group(dtype):
    generator = np.random.default_rng(0)
    points, centers = (generator.standard_normal((6000, 2)).astype(dtype) for _ in range(2))
    offsets = np.arange(0, 6001, 3)
    log_sum = log_sum_exp(points, centers, 0.3, threads=2, point_offsets=offsets, center_offsets=offsets)
    expected = np.concatenate([log_sum_exp(points[i : i + 3], centers[i : i + 3], 0.3) for i in offsets[:-1]])
    np.testing.assert_array_equal(log_sum, expected)


@pytest.mark.cpu_only("batches")
def test_large_group_changes_no_bit_of_a_small_group_in_2000_dimensions():
    # The 1000 centers of the small group are summed in several chunks, because they have 2000 dimensions.
    generator = np.random.default_rng(0)
    points, centers = (generator.standard_normal((n, 2000)).astype(np.float32) for n in (130, 2100))
    point_offsets = np.array([0, 128, 130])
    beside_small_group, beside_large_group = (
        log_sum_exp(points, centers[:n], 5.0, point_offsets=point_offsets, center_offsets=np.array([0, 1000, n]))
        for n in (1001, 2100)
    )
    np.testing.assert_array_equal(beside_small_group[:128], beside_large_group[:128])


@EVERY_LEVEL
@BOTH_DTYPES
def test_nan_in_a_distant_block_makes_only_the_rows_of_its_group_nan(level, dtype):
    # The block with NaN has no other center nearby, so that a kernel may skip it.
    centers = np.concatenate([np.zeros((8, 2)), np.full((8, 2), 1e6), np.zeros((16, 2))]).astype(dtype)
    centers[12, 0] = np.nan
    offsets = {"point_offsets": np.array([0, 3, 6]), "center_offsets": np.array([0, 16, 32])}
    log_sum = log_sum_exp(np.zeros((6, 2), dtype), centers, 1.0, level=level, **offsets)
    np.testing.assert_array_equal(np.isnan(log_sum), [True] * 3 + [False] * 3)


@BOTH_DTYPES
@pytest.mark.parametrize("name", ["points", "centers"])
def test_values_too_large_relative_to_sigma_in_a_small_group_are_refused(dtype, name):
    arrays = {"points": np.zeros((6, 2), dtype), "centers": np.zeros((6, 2), dtype)}
    arrays[name][4, 1] = np.finfo(dtype).max
    offsets = {"point_offsets": np.array([0, 3, 6]), "center_offsets": np.array([0, 3, 6])}
    with pytest.raises(ValueError, match=f"{name}: got a finite value too large relative to sigma"):
        log_sum_exp(arrays["points"], arrays["centers"], 1.0, **offsets)
