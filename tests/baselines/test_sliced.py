"""Sliced KSG against KSG in one dimension, closed forms, quadrature over the angle, and ties."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from layerbits.baselines import ksg_information, sliced_ksg_information
from layerbits.baselines.sliced import _projections
from tests.support.random_arrays import normal_array
from tests.support.sliced_information import sliced_truths

STANDARD_ERRORS = 5  # a correct estimator errs by more standard errors once in 1.7 million runs; seeds are fixed
K = 3


def tolerance(n, slices, largest):
    """Return 5 standard errors and a bias.

    A KSG estimate has the variance of test_neighbours.py, here with a variance of the information density of at most 1,
    and a bias below 0.01; the mean over slices has no larger ones. The slices have information in [0, `largest`].
    """
    return STANDARD_ERRORS * (math.sqrt((1 + 2 * 3 * K * polygamma(1, K)) / n) + largest / 2 / math.sqrt(slices)) + 0.01


def test_one_dimension_has_the_values_of_ksg():
    inputs = normal_array(60, 1)
    rows, labels = 7 * inputs + normal_array(60, 1, seed=1), np.arange(60) % 3
    estimate = sliced_ksg_information(rows, inputs=inputs, labels=labels, slices=3)
    expected = ksg_information(rows / rows.std(), inputs=inputs / inputs.std(), labels=labels)
    assert estimate.value == pytest.approx(expected.value, abs=1e-12)
    assert estimate.label_information == pytest.approx(expected.label_information, abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_gaussian_plane_has_the_closed_form(scale):
    """The mean over the angle of -log(1 - rho^2 cos^2) / 2 is -log((1 + sqrt(1 - rho^2)) / 2)."""
    n, slices, rho = 2000, 32, 0.9
    inputs = normal_array(n, 2)
    rows = scale * (rho * inputs + math.sqrt(1 - rho**2) * normal_array(n, 2, seed=1))
    truth = -math.log((1 + math.sqrt(1 - rho**2)) / 2)
    estimate = sliced_ksg_information(rows, inputs=inputs, slices=slices)
    assert abs(estimate.value - truth) < tolerance(n, slices, -math.log(1 - rho**2) / 2)
    assert estimate.value > truth / 2  # the tolerance excludes 0 too
    assert (estimate.quantity, estimate.estimator) == ("SI(X;T)", "sliced KSG, 32 slices, k = 3")


def test_label_information_is_that_of_quadrature():
    n, slices = 2000, 32
    centers, labels = 3 * normal_array(6, 2), np.arange(6) % 2
    chosen = np.arange(n) % 6
    rows = centers[chosen] + 0.5 * normal_array(n, 2, seed=1)
    truth = sliced_truths(centers, 0.5, labels)["SI_1(T;Y)"]
    estimate = sliced_ksg_information(rows, inputs=rows, labels=labels[chosen], slices=slices)
    assert abs(estimate.label_information - truth) < tolerance(n, slices, math.log(2))


def test_dead_layer_has_no_information():
    estimate = sliced_ksg_information(np.full((300, 5), 0.3), inputs=normal_array(300, 4), labels=np.arange(300) % 2)
    # Digammas below 10 are rounded.
    assert (estimate.value, estimate.label_information) == pytest.approx((0, 0), abs=1e-12)


def test_discrete_rows_have_the_information_of_their_counts():
    """Four different rows have four different projections."""
    chosen = np.random.default_rng(0).integers(0, 4, 500)
    rows, counts = normal_array(4, 37)[chosen], np.bincount(chosen)
    expected = digamma(500) - counts @ digamma(counts) / 500
    estimate = sliced_ksg_information(rows, inputs=rows, labels=chosen, slices=8)
    assert (estimate.value, estimate.label_information) == pytest.approx((expected, expected), abs=1e-12)


def test_rows_that_coincide_have_projections_that_coincide():
    """A product of matrices rounds equal rows differently if the number of rows is no multiple of a tile."""
    for n, slices in itertools.product(range(5, 40, 5), range(1, 6)):
        rows = normal_array(2, 200)[np.arange(n) % 2]
        values = _projections(rows, slices, np.random.default_rng(n))
        assert len(np.unique(values[:, :, 0], axis=1).T) == 2


def test_seed_determines_the_slices():
    rows = normal_array(50, 3)
    values = [sliced_ksg_information(rows, inputs=rows[:, :2], slices=4, seed=seed).value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
