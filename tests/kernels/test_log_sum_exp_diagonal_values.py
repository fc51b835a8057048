"""The log-sum-exp over components with diagonal covariances: special values and refused arguments."""

import math
import re

import numpy as np
import pytest

from layerbits.kernels import _cpu
from tests.support.exact_diagonal import diagonal_problem, exact_diagonal_log_sums
from tests.support.exact_mixture import eps, error_bound
from tests.support.native_calls import BOTH_DTYPES, EVERY_LEVEL, log_sum_exp_diagonal


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize(("value", "log_sum"), [(np.nan, np.nan), (np.inf, -np.inf), (-np.inf, -np.inf)])
def test_point_that_is_not_finite_affects_only_its_row(level, dtype, value, log_sum):
    points, *components = diagonal_problem(33, 21, 5, dtype, scale=30)
    components[1][3] = 0  # 0 times infinity
    finite = log_sum_exp_diagonal(points, *components, level=level)
    for row in (0, 7, 16, 32):
        changed, expected = points.copy(), finite.copy()
        changed[row, 4], expected[row] = value, log_sum
        np.testing.assert_array_equal(log_sum_exp_diagonal(changed, *components, level=level), expected)


@EVERY_LEVEL
@pytest.mark.parametrize("argument", [1, 2, 3], ids=["centers", "factors", "offsets"])
@pytest.mark.parametrize("component", [0, 7, 20])
def test_nan_in_a_component_makes_every_row_nan(level, argument, component):
    # The component is so distant that a kernel may skip its terms.
    arrays = diagonal_problem(9, 21, 5)
    arrays[1][component] += 1e6
    arrays[argument][(component, *[-1] * (arrays[argument].ndim - 1))] = np.nan
    arrays[0][3] = np.inf
    assert np.isnan(log_sum_exp_diagonal(*arrays, level=level)).all()


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("component", [0, 7, 8, 20])
@pytest.mark.parametrize(("argument", "value"), [(1, np.inf), (1, -np.inf), (2, np.inf), (2, -np.inf), (3, -np.inf)])
def test_component_without_weight_has_no_effect(level, dtype, component, argument, value):
    arrays = diagonal_problem(33, 21, 3, dtype)
    remaining = [arrays[0], *(np.delete(array, component, axis=0) for array in arrays[1:])]
    arrays[argument][component] = value
    exact, mean_exponent = exact_diagonal_log_sums(*remaining)
    error = np.abs(log_sum_exp_diagonal(*arrays, level=level) - exact)
    assert (error <= error_bound(mean_exponent, 3, dtype) + 2.0**-53 * np.abs(exact)).all()


@EVERY_LEVEL
@BOTH_DTYPES
def test_empty_sums_are_minus_infinity(level, dtype):
    points, centers, factors, offsets = diagonal_problem(5, 9, 3, dtype)
    assert (log_sum_exp_diagonal(points, centers[:0], factors[:0], offsets[:0], level=level) == -np.inf).all()
    weightless = np.full_like(offsets, -np.inf)
    assert (log_sum_exp_diagonal(points, centers, factors, weightless, level=level) == -np.inf).all()
    assert log_sum_exp_diagonal(points[:0], centers, factors, offsets, level=level).shape == (0,)


@EVERY_LEVEL
@BOTH_DTYPES
def test_factors_of_zero_give_the_offset(level, dtype):
    points, centers, factors, offsets = diagonal_problem(5, 1, 3, dtype)
    assert (log_sum_exp_diagonal(points, centers, 0 * factors, offsets, level=level) == offsets.astype(float)).all()


@EVERY_LEVEL
@BOTH_DTYPES
def test_subnormal_numbers_are_accepted(level, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    points, centers, factors, offsets = diagonal_problem(9, 9, 3, dtype)
    # The squares underflow, so the terms are 1.
    log_sum = log_sum_exp_diagonal(np.full_like(points, tiny), 0 * centers, factors, 0 * offsets, level=level)
    assert (np.abs(log_sum - math.log(9)) <= eps(dtype) * 5 * (1 + math.log(9))).all()


@EVERY_LEVEL
@BOTH_DTYPES
def test_differences_beyond_the_dtype_are_refused(level, dtype):
    points, centers, factors, offsets = diagonal_problem(9, 9, 3, dtype)
    points[5], centers[5] = np.finfo(dtype).max, -np.finfo(dtype).max
    with pytest.raises(ValueError, match=r"^points: got finite values whose differences from the centers may leave"):
        log_sum_exp_diagonal(points, centers, factors, offsets, level=level)


@EVERY_LEVEL
@BOTH_DTYPES
@pytest.mark.parametrize("argument", [1, 2], ids=["centers", "factors"])
def test_component_whose_squared_distance_overflows_has_no_effect(level, dtype, argument):
    arrays = diagonal_problem(9, 9, 3, dtype)
    arrays[argument][4] = np.finfo(dtype).max / 8
    remaining = [arrays[0], *(np.delete(array, 4, axis=0) for array in arrays[1:])]
    exact, mean_exponent = exact_diagonal_log_sums(*remaining)
    error = np.abs(log_sum_exp_diagonal(*arrays, level=level) - exact)
    assert (error <= error_bound(mean_exponent, 3, dtype) + 2.0**-53 * np.abs(exact)).all()
    distant = [arrays[0], *(array[4:5] for array in arrays[1:])]
    assert (log_sum_exp_diagonal(*distant, level=level) == -np.inf).all()


# Refused arguments

NAMES = ["points", "centers", "factors", "offsets", "log_sum"]


def assert_refused(error, name, **changes):
    arguments = dict(zip(NAMES, [*diagonal_problem(5, 4, 3), np.zeros(5)], strict=True))
    with pytest.raises(error, match=f"^{re.escape(name)}: "):
        _cpu.log_sum_exp_diagonal(**arguments | changes)


@pytest.mark.parametrize("name", NAMES)
def test_argument_that_is_no_array_of_floats_is_refused(name):
    for value in ([[0.0]], None, 3, "text", np.zeros((5, 3), np.int64), np.zeros(5, np.complex128)):
        assert_refused(TypeError, name, **{name: value})


@pytest.mark.parametrize(
    ("name", "shape"),
    [("centers", (4, 2)), ("factors", (4, 9)), ("factors", (4, 3, 3)), ("factors", (5, 3)), ("offsets", (5,)),
     ("offsets", (4, 1)), ("log_sum", (4,)), ("points", (5,))],
)  # fmt: skip
def test_wrong_shape_is_refused(name, shape):
    assert_refused(ValueError, name, **{name: np.zeros(shape)})


@pytest.mark.parametrize("name", NAMES[1:])
def test_float32_with_float64_points_is_refused(name):
    shape = 4 if name in ("offsets", "log_sum") else (4, 3)
    assert_refused(TypeError, name, **{name: np.zeros(shape, np.float32)})


def test_infinite_offset_is_refused():
    assert_refused(ValueError, "offsets", offsets=np.array([0, 0, np.inf, 0]))


def test_nothing_but_the_output_is_written():
    arrays = diagonal_problem(17, 9, 3)
    copies = [array.copy() for array in arrays]
    memory = np.full(19, 7.0)
    _cpu.log_sum_exp_diagonal(*arrays, memory[1:-1])
    assert memory[0] == memory[-1] == 7
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
