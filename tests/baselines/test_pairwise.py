"""Pairwise-distance bounds against closed forms for two rows and against Monte Carlo."""

import math

import numpy as np
import pytest

from layerbits import mixture_information
from layerbits.baselines import pairwise_bounds
from tests.support.random_arrays import normal_array


@pytest.mark.parametrize("distance", [0.1, 1.0, 3.0])
def test_bounds_of_two_rows(distance):
    lower, upper = pairwise_bounds(np.array([[0.0, 0], [distance, 0]]), sigma=0.5)
    # Entropies of about 2 are rounded in float64 some ten times.
    assert lower.value == pytest.approx(-math.log((1 + math.exp(-(distance**2) / 2)) / 2), abs=1e-14)
    assert upper.value == pytest.approx(-math.log((1 + math.exp(-2 * distance**2)) / 2), abs=1e-14)


@pytest.mark.parametrize("sigma", [0.03, 0.3, 1.0])
def test_bounds_contain_the_information(sigma):
    rows = normal_array(300, 3)
    lower, upper = pairwise_bounds(rows, sigma=sigma)
    truth = mixture_information(rows, sigma, tolerance=0.02)
    assert lower.value <= truth.value + 5 * truth.standard_error
    assert upper.value >= truth.value - 5 * truth.standard_error
    assert 0 <= lower.value <= upper.value <= math.log(300)


def test_label_bounds_subtract_the_opposite_bounds_of_the_classes():
    rows, labels = normal_array(90, 2), np.arange(90) % 3
    rows[:, 0] += labels
    lower, upper = pairwise_bounds(rows, sigma=0.5, labels=labels)
    class_bounds = [pairwise_bounds(rows[labels == label], sigma=0.5) for label in range(3)]
    mean_lower, mean_upper = np.mean([[bound.value for bound in bounds] for bounds in class_bounds], axis=0)
    # The three classes have equal weight; two sums of three entropies are rounded.
    assert lower.label_information == pytest.approx(max(0, lower.value - mean_upper), abs=1e-13)
    assert upper.label_information == pytest.approx(min(math.log(3), upper.value - mean_lower), abs=1e-13)
    assert 0 < upper.label_information < math.log(3)


def test_bounds_of_label_information_lie_between_0_and_the_entropy_of_labels():
    rows = normal_array(90, 2)
    for distance in (0.0, 1.0, 100.0):
        labels = np.arange(90) % 3
        lower, upper = pairwise_bounds(rows + distance * labels[:, None], sigma=0.2, labels=labels)
        assert 0 <= lower.label_information <= upper.label_information <= math.log(3) + 1e-15
    assert upper.label_information == pytest.approx(math.log(3), abs=1e-14)


def test_bounds_of_separate_rows_are_the_entropies():
    lower, upper = pairwise_bounds(1000 * np.arange(8.0)[:, None], sigma=0.1, labels=np.arange(8) % 2)
    assert lower.label_information == pytest.approx(math.log(2), abs=1e-14)
    assert (lower.value, upper.value) == pytest.approx((math.log(8), math.log(8)), abs=1e-14)


def test_estimators_are_named_as_bounds():
    lower, upper = pairwise_bounds(np.zeros((3, 1)), sigma=0.25)
    assert lower.estimator == "pairwise distances, lower bound, sigma = 0.25"
    assert upper.estimator == "pairwise distances, upper bound, sigma = 0.25"
