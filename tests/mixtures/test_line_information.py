"""Information of channels on a line: against quadrature with another step, and the bound of the quadrature error."""

import math

import numpy as np
import pytest

from layerbits.mixtures import line_information
from layerbits.mixtures.line_channel import fourth_derivative
from tests.support.answers import BPSK
from tests.support.random_arrays import normal_array
from tests.support.sliced_information import line_truths

# The reference has steps of sigma / 16, and errors below 1e-10.
REFERENCE_ERROR = 1e-9


@pytest.mark.parametrize("scale", [0.01, 1, 30, 3000])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_values_lie_within_their_error_of_quadrature(scale, offset):
    centers, labels = scale * normal_array(60), np.arange(60) % 3
    values, errors = line_information(centers + offset, 0.7, labels)
    # The reference takes the centers as they are rounded beside the offset.
    for name, truth in line_truths(centers + offset - offset, 0.7, labels).items():
        assert abs(values[name] - truth) < errors[name] + REFERENCE_ERROR
        assert errors[name] < 1.1e-4


@pytest.mark.parametrize("sigma", sorted(BPSK))
def test_two_centers_have_the_tabulated_information(sigma):
    values, errors = line_information(np.array([-1.0, 1.0]), sigma)
    assert abs(values["I(X;T)"] - BPSK[sigma]) < errors["I(X;T)"] + 1e-6  # the error of the table


def test_far_centers_have_all_information_and_equal_ones_none():
    values, _ = line_information(np.arange(8.0) * 40, 1.0, np.arange(8) % 2)
    assert values["I(X;T)"] == pytest.approx(math.log(8), abs=1e-9)
    assert values["I(T;Y)"] == pytest.approx(math.log(2), abs=1e-9)
    assert line_information(np.ones(8), 1.0)[0]["I(X;T)"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("distance", "sigma"), [(5.6e14, 1), (1e16, 1), (1e17, 1), (1e20, 1), (1e300, 1e-5), (1.9, 9e-16)]
)
def test_two_centers_at_any_distance_have_log_2(distance, sigma):
    values, errors = line_information(np.array([0, distance]), sigma, np.arange(2))
    for value in (values["I(X;T)"], values["I(T;Y)"]):
        assert abs(value - math.log(2)) < errors["I(X;T)"]


def test_distance_that_exceeds_float64_separates_clusters():
    values, _ = line_information(np.array([-1e308, 1e308]), 1.0)
    assert values["I(X;T)"] == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("distance", [1e3, 4e14, 4e15])
@pytest.mark.parametrize("n", [2, 8])
def test_far_pairs_have_the_information_of_a_pair_and_log_n(distance, n):
    # The spacing of float64 is at most 4 here, so that every center is exact.
    pairs = (distance * np.arange(n)[:, None] + [0, 4]).ravel()
    labels = np.arange(2 * n) % 2
    values, errors = line_information(pairs, 2.0, labels)
    of_pair = BPSK[1.0]  # centers at +-1 with sigma 1
    assert abs(values["I(X;T)"] - math.log(n) - of_pair) < errors["I(X;T)"] + 1e-6
    assert abs(values["I(T;Y)"] - of_pair) < errors["I(T;Y)"] + 1e-6
    assert abs(values["I(X;T|Y)"] - math.log(n)) < errors["I(X;T|Y)"]


def derivative_integral(centers, step=0.02):
    """Return the integral of the fourth derivative of p log(p / p_0), p_0 the density of the noise at 0."""
    points = np.arange(centers.min() - 12, centers.max() + 12, step)
    ratio = np.exp(-((points[:, None] - centers) ** 2) / 2).mean(1)
    differences = np.diff(ratio * np.log(np.maximum(ratio, 1e-300)), 4)
    return np.abs(differences).sum() / step**3 / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("gap", [0.0, 1.0, 3.0, 6.0])
def test_bound_of_the_fourth_derivative_holds(gap):
    for n in (1, 2, 5):
        assert derivative_integral(gap * np.arange(n)) <= fourth_derivative(n)
