"""Point values in intervals, and their errors."""

import math

import numpy as np
import pytest
from scipy import integrate

from layerbits.statistics import Interval, point_value

WIDE, NARROW = Interval(1.0, 1.6), Interval(1.0, 1.4)


def test_midpoint_of_a_wide_interval_has_no_error():
    value, error = point_value(1.1, 0.01, Interval(1.05, 1.2), WIDE)
    assert value == pytest.approx(1.3)
    assert math.isnan(error)


def test_midpoint_of_ends_that_cross_has_no_error():
    value, error = point_value(1.1, 0.01, Interval(1.05, 1.2), Interval(1.2, 1.1))
    assert value == pytest.approx(1.15)
    assert math.isnan(error)


@pytest.mark.parametrize(("interval", "expected"), [((-math.inf, 1.0), 1.0), ((2.0, math.inf), 2.0)])
def test_value_stays_finite_beside_an_infinite_end(interval, expected):
    value, error = point_value(1.5, 0.01, Interval(1.4, 1.6), Interval(*interval))
    assert value == expected
    assert math.isnan(error)


@pytest.mark.parametrize(("value", "expected"), [(0.8, 1.0), (1.2, 1.2), (3.0, 1.4)])
def test_value_is_moved_into_a_narrow_interval(value, expected):
    assert point_value(value, 0.01, Interval(value, value), NARROW) == (expected, 0.01)


@pytest.mark.parametrize("value", [1.05, 1.15, 1.3])
def test_error_combines_distance_to_a_uniform_point_and_sampling_error(value):
    lower, upper = 1.05, 1.3
    mean_square, _ = integrate.quad(lambda truth: (truth - value) ** 2 / (upper - lower), lower, upper)
    _, error = point_value(value, 0.03, Interval(lower, upper), NARROW)
    assert error == pytest.approx(math.sqrt(mean_square + 0.03**2), rel=1e-12)


def test_value_without_a_sampling_error_is_the_midpoint():
    value, error = point_value(1.3, math.nan, NARROW, NARROW)
    assert value == pytest.approx(1.2)
    assert math.isnan(error)


def test_error_is_positive_if_the_bounds_differ_and_the_sampling_error_is_0():
    assert point_value(1.2, 0.0, Interval(1.1, 1.3), NARROW)[1] == pytest.approx(0.1 / math.sqrt(3))


def test_no_true_value_between_the_bounds_is_more_than_two_errors_away():
    values = np.linspace(1.0, 1.4, 4001)
    errors = [point_value(value, 0.0, NARROW, NARROW)[1] for value in values]
    ratios = np.maximum(values - 1.0, 1.4 - values) / errors
    # With the nearer bound at a share s of the farther distance, the ratio squared is 3 / (1 - s + s^2): 4 at s = 1/2.
    assert 1.999 < ratios.max() <= 2 + 1e-12


def test_bounds_outside_the_interval_do_not_widen_the_error():
    assert point_value(1.2, 0.0, Interval(-9.0, 9.0), NARROW) == point_value(1.2, 0.0, NARROW, NARROW)
