"""Checks of options: valid values become plain numbers, and errors name the argument."""

import math
from fractions import Fraction

import numpy as np
import pytest

from layerbits._base import check_confidence, check_count, check_positive


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integers_of_any_type_become_int(value):
    assert (type(check_count("n", value, minimum=3)), check_count("n", value, minimum=3)) == (int, 3)


@pytest.mark.parametrize("value", [3.0, "3", None, True, np.float64(3), np.bool_(True), [3], 3j])
def test_count_that_is_not_an_integer_is_a_type_error(value):
    with pytest.raises(TypeError, match=rf"^n: got {type(value).__name__}, wanted an integer >= 1$"):
        check_count("n", value, minimum=1)


@pytest.mark.parametrize("value", [0, -5, np.int64(0)])
def test_count_below_the_minimum_is_a_value_error(value):
    with pytest.raises(ValueError, match=rf"^n: got {value}, wanted an integer >= 1$"):
        check_count("n", value, minimum=1)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), Fraction(1, 2)])
@pytest.mark.parametrize("check", [lambda value: check_positive("x", value), check_confidence])
def test_numbers_of_any_type_become_float(check, value):
    assert (type(check(value)), check(value)) == (float, 0.5)


@pytest.mark.parametrize("value", ["1", None, True, 1j, [1.0], np.array(1.0)])
@pytest.mark.parametrize(("name", "check"), [("x", lambda v: check_positive("x", v)), ("confidence", check_confidence)])
def test_value_that_is_not_a_real_number_is_a_type_error(name, check, value):
    with pytest.raises(TypeError, match=rf"^{name}: got {type(value).__name__}, wanted "):
        check(value)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, -math.inf])
def test_number_that_is_not_positive_and_finite_is_a_value_error(value):
    with pytest.raises(ValueError, match=rf"^x: got {value}, wanted a positive, finite number$"):
        check_positive("x", value)


@pytest.mark.parametrize("value", [0, 1, -0.5, 95, pytest.param(10**400, id="10^400"), math.nan, math.inf])
def test_confidence_outside_zero_to_one_is_a_value_error(value):
    with pytest.raises(ValueError, match=rf"^confidence: got {str(value)[:80]}.*, wanted a number between 0 and 1"):
        check_confidence(value)


def test_integer_too_large_for_a_float_is_refused():
    with pytest.raises(ValueError, match=r"^sigma: got 1000"):
        check_positive("sigma", 10**400)
