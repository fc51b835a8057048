"""NaN, infinity and emptiness have a defined meaning, wherever in a block or tile they stand."""

import numpy as np
import pytest

from layerbits.kernels import _cpu
from tests.support.exact_mixture import DTYPES, LEVELS, allowed, native, truth

pytestmark = [pytest.mark.parametrize("level", LEVELS), pytest.mark.parametrize("dtype", DTYPES)]


def points_and_centers(dtype, m=33, n=21, d=3):
    generator = np.random.default_rng(0)
    return generator.standard_normal((m, d)).astype(dtype), generator.standard_normal((n, d)).astype(dtype)


@pytest.mark.parametrize("row", [0, 7, 15, 16, 32])
def test_nan_in_a_row_stays_in_that_row(level, dtype, row):
    points, centers = points_and_centers(dtype)
    want = native(points, centers, 0.5, level=level)
    points[row, 1] = np.nan
    want[row] = np.nan
    np.testing.assert_array_equal(native(points, centers, 0.5, level=level), want)


@pytest.mark.parametrize("place", [0, 1, 6, 7, 8, 20])
@pytest.mark.parametrize("others", ["near", "far"])
def test_nan_in_a_center_makes_every_row_nan(level, dtype, place, others):
    # Far centers, and the padding of a last block, let a kernel pass a block by: not with NaN in it.
    points, centers = points_and_centers(dtype)
    if others == "far":
        centers[place // 8 * 8 :] += 1000
    centers[place, 2] = np.nan
    assert np.isnan(native(points, centers, 0.5, level=level)).all()


def test_nan_in_a_center_reaches_a_point_at_infinity(level, dtype):
    points, centers = points_and_centers(dtype)
    points[3] = np.inf
    centers[0] = np.nan
    assert np.isnan(native(points, centers, 0.5, level=level)).all()


def test_nan_in_a_center_stays_in_its_group(level, dtype):
    points, centers = points_and_centers(dtype, m=6, n=20)
    centers[12] = np.nan
    offsets = {"point_offsets": np.array([0, 3, 6]), "center_offsets": np.array([0, 11, 20])}
    got = native(points, centers, 0.5, level=level, **offsets)
    np.testing.assert_array_equal(np.isnan(got), [False] * 3 + [True] * 3)


@pytest.mark.parametrize("place", [0, 7, 8, 20])
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinite_center_weighs_nothing(level, dtype, place, infinity):
    points, centers = points_and_centers(dtype)
    want, size = truth(points, np.delete(centers, place, axis=0), 0.5)
    centers[place, 1] = infinity
    assert (np.abs(native(points, centers, 0.5, level=level) - want) <= allowed(size, 3, dtype)).all()


def test_point_at_infinity_gives_minus_infinity_alone(level, dtype):
    points, centers = points_and_centers(dtype)
    want = native(points, centers, 0.5, level=level)
    points[9, 0], want[9] = -np.inf, -np.inf
    np.testing.assert_array_equal(native(points, centers, 0.5, level=level), want)


def test_center_of_weight_zero_weighs_nothing_even_at_the_point(level, dtype):
    points, centers = np.zeros((3, 2), dtype), np.ones((2, 2), dtype)
    centers[0] = 0
    got = native(points, centers, 1.0, weights=np.array([0, 1], dtype), level=level)
    # The one exponent is -|x - c|^2 / 2 = -1.
    assert (np.abs(got + 1) <= allowed(1, 2, dtype)).all()


def test_no_centers_give_minus_infinity(level, dtype):
    points, _ = points_and_centers(dtype)
    assert (native(points, np.empty((0, 3), dtype), 0.5, level=level) == -np.inf).all()


def test_no_points_give_no_results(level, dtype):
    _, centers = points_and_centers(dtype)
    assert native(np.empty((0, 3), dtype), centers, 0.5, level=level).shape == (0,)


def test_nothing_beyond_the_output_is_written(level, dtype):
    points, centers = points_and_centers(dtype, m=17)
    room = np.full(19, 7.0)
    _cpu.log_sum_exp_isotropic(points, centers, 0.5, room[1:-1], level=level)
    assert room[0] == room[-1] == 7


@pytest.mark.parametrize(
    "options", [{"method": "dense"}, {"method": "pruned"}, {"point_offsets": 2, "center_offsets": 2}]
)
def test_value_that_only_sigma_makes_too_large_is_named(level, dtype, options):
    # Far from the largest number itself, but not beside a sigma of 2^-40.
    huge = np.full((40, 2), np.ldexp(1.0, np.finfo(dtype).maxexp - 30), dtype)
    options = {key: np.array([0, 20, 40]) if value == 2 else value for key, value in options.items()}
    for points, centers, name in ((huge, 0 * huge, "points"), (0 * huge, huge, "centers")):
        with pytest.raises(ValueError, match=f"{name}: got a finite value too large beside sigma"):
            native(points, centers, 2.0**-40, level=level, **options)
