"""Information and entropy of mixtures against tabulated values, quadrature, closed forms and invariances.

Monte Carlo values are compared within 5 standard errors: a correct estimator fails one test in 1.7 million.
Seeds are fixed.
"""

import math

import numpy as np
import pytest

from layerbits import mixture_entropy, mixture_information
from tests.support.answers import BPSK, NEURON, NEURON_SIGMAS, THREE_TO_ONE, information_in_plane, information_on_line
from tests.support.random_arrays import normal_array

STANDARD_ERRORS = 5
PAIR = np.array([[-1.0], [1.0]])


def standard_errors_apart(first, second):
    """Return the distance of two independent estimates, in standard errors."""
    return abs(first.value - second.value) / math.hypot(first.standard_error, second.standard_error)


# Tabulated values


@pytest.mark.parametrize(("sigma", "value"), BPSK.items())
def test_quadrature_agrees_with_the_tabulated_values_of_two_points(sigma, value):
    assert information_on_line([-1, 1], sigma) == pytest.approx(value, abs=5.1e-7)  # the table has six digits


@pytest.mark.parametrize("sigma", [0.3, 0.6, 3])
def test_information_of_two_points_is_the_tabulated_value(sigma):
    estimate = mixture_information(PAIR, sigma, tolerance=0.002)
    assert abs(estimate.value - BPSK[sigma]) <= STANDARD_ERRORS * estimate.standard_error + 5.1e-7


def test_information_of_two_distant_points_is_nearly_log_two():
    """The true value is log 2 - 0.9e-6; queries beyond 4 sigma, one in 32,000, cause nearly all of the difference."""
    assert math.log(2) - 1e-5 <= mixture_information(PAIR, 0.2).value <= math.log(2)


@pytest.mark.parametrize("sigma", [0.1, 1])
def test_information_of_weights_three_and_one_is_the_tabulated_value(sigma):
    estimate = mixture_information(PAIR, sigma, weights=np.array([3.0, 1.0]), tolerance=0.002)
    assert abs(estimate.value - THREE_TO_ONE[sigma]) <= STANDARD_ERRORS * estimate.standard_error + 5.1e-7


@pytest.mark.parametrize("sigma", [0.5, 3])
def test_information_of_a_cube_is_that_of_its_edges(sigma):
    cube = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 6), axis=-1).reshape(-1, 6)
    estimate = mixture_information(cube, sigma, tolerance=0.01)
    assert abs(estimate.value - 6 * BPSK[sigma]) <= STANDARD_ERRORS * estimate.standard_error + 6 * 5.1e-7


@pytest.mark.parametrize(("weight", "sigma"), [(0.05, 0.05), (0.2, 0.2), (0.5, 0.005), (1, 0.1), (2, 0.5), (5, 0.01)])
def test_information_of_a_single_neuron_is_the_tabulated_value(weight, sigma):
    centers = np.tanh(weight * np.array([[-3.0], [-1], [1], [3]]) - 2 * weight)
    estimate = mixture_information(centers, sigma, tolerance=0.004)
    value = NEURON[weight][NEURON_SIGMAS.index(sigma)]
    assert abs(estimate.value - value) <= STANDARD_ERRORS * estimate.standard_error + 1e-4  # the table has 1e-4


# Quadrature and closed forms


@pytest.mark.parametrize("weights", [None, np.exp(normal_array(6, seed=1))])
def test_information_on_the_line_is_that_of_quadrature(weights):
    centers = normal_array(6, 1)
    estimate = mixture_information(centers, 0.3, weights=weights, tolerance=0.002)
    truth = information_on_line(centers.ravel(), 0.3, weights)
    assert abs(estimate.value - truth) <= STANDARD_ERRORS * estimate.standard_error


@pytest.mark.parametrize("weights", [None, np.exp(normal_array(5, seed=1))])
def test_information_in_the_plane_is_that_of_quadrature(weights):
    centers = normal_array(5, 2)
    estimate = mixture_information(centers, 0.5, weights=weights, tolerance=0.002)
    truth = information_in_plane(centers, 0.5, weights)
    assert abs(estimate.value - truth) <= STANDARD_ERRORS * estimate.standard_error


def test_entropy_is_that_of_quadrature():
    centers = normal_array(5, 2)
    estimate = mixture_entropy(centers, 0.5, tolerance=0.004)
    truth = information_in_plane(centers, 0.5) + math.log(2 * math.pi * math.e * 0.25)
    assert abs(estimate.value - truth) <= STANDARD_ERRORS * estimate.standard_error


def test_entropy_of_one_center_is_that_of_the_noise():
    """h(Z) = d/2 log(2 pi e sigma^2); the sum of three logarithms rounds by a few eps."""
    truth = 7 / 2 * math.log(2 * math.pi * math.e * 0.09)
    assert mixture_entropy(normal_array(1, 7), 0.3).value == pytest.approx(truth, abs=1e-13)


def test_information_of_gaussian_centers_is_the_closed_form():
    """I = 1/2 log det(1 + Sigma / sigma^2) for Gaussian S; n centers from this law have less, in expectation.

    The difference is E KL(p^ || p) <= log(1 + (R - 1) / n) with R = E int N(t; S, sigma^2 I)^2 / p(t) dt, by Jensen's
    inequality; R = det(1 + Sigma / sigma^2) for Gaussian p. The spread of independent data sets gives the error.
    """
    sigma, n, repeats = 0.8, 500, 12
    scale = np.array([1.0, 0.5, 0.3])
    ratio = np.prod(1 + scale**2 / sigma**2)
    data_sets = normal_array(repeats, n, 3) * scale
    values = [mixture_information(x, sigma, tolerance=None, seed=seed).value for seed, x in enumerate(data_sets)]
    error = STANDARD_ERRORS * np.std(values, ddof=1) / math.sqrt(repeats)
    truth = math.log(ratio) / 2
    assert truth - math.log1p((ratio - 1) / n) - error <= np.mean(values) <= truth + error


# Limits


def test_separated_centers_have_log_n_without_variance():
    estimate = mixture_information(1000 * normal_array(37, 4), 1.0)
    assert estimate.value == pytest.approx(math.log(37), abs=1e-12)
    assert estimate.standard_error == pytest.approx(0, abs=1e-12)


def test_information_of_one_center_is_zero():
    assert mixture_information(normal_array(1, 3), 0.1).value == 0


def test_equal_centers_count_as_one():
    assert mixture_information(np.ones((7, 3)), 0.1).value == pytest.approx(0, abs=1e-12)
    assert mixture_information(np.repeat(1000 * PAIR, 3, axis=0), 0.1).value == pytest.approx(math.log(2), abs=1e-12)


def test_separated_centers_have_the_entropy_of_their_weights():
    weights = np.array([0.5, 0.25, 0.125, 0.125])
    estimate = mixture_information(1000 * normal_array(4, 2), 1.0, weights=weights, tolerance=0.002)
    assert abs(estimate.value - 1.75 * math.log(2)) <= STANDARD_ERRORS * estimate.standard_error + 1e-12


def test_center_of_zero_weight_does_not_count():
    estimate = mixture_information(np.array([[-1.0], [1], [0.2]]), 0.6, weights=np.array([1.0, 1, 0]), tolerance=0.003)
    assert abs(estimate.value - BPSK[0.6]) <= STANDARD_ERRORS * estimate.standard_error + 5.1e-7


@pytest.mark.parametrize("sigma", [1e-300, 1e-160, 1e-30])
def test_vanishing_noise_leaves_log_n(sigma):
    assert mixture_information(normal_array(9, 3), sigma).value == pytest.approx(math.log(9), abs=1e-12)


@pytest.mark.parametrize("sigma", [1e10, 1e160, 1e300])
def test_very_large_noise_leaves_no_information(sigma):
    # The information is below E |S|^2 / (2 sigma^2); its terms are of the size |s - s'| |z| / sigma and have mean 0.
    assert mixture_information(normal_array(9, 3), sigma).value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("sigma", [1e-160, 1e-30, 1e30, 1e160])
def test_entropy_of_the_noise_does_not_overflow(sigma):
    """Centers are 6 sigma apart; d/2 log(2 pi e sigma^2) is computed without the square."""
    estimate = mixture_entropy(3 * sigma * PAIR, sigma, tolerance=None)
    noise = math.log(sigma) + math.log(2 * math.pi * math.e) / 2
    truth = noise + information_on_line([-3, 3], 1)
    assert abs(estimate.value - truth) <= STANDARD_ERRORS * estimate.standard_error + 1e-12


# Invariances


def test_rotation_does_not_change_the_information():
    centers, rotation = normal_array(20, 3), np.linalg.qr(normal_array(3, 3))[0]
    rotated = mixture_information(centers @ rotation, 0.5, tolerance=0.008, seed=1)
    assert standard_errors_apart(rotated, mixture_information(centers, 0.5, tolerance=0.008)) <= STANDARD_ERRORS


def test_order_of_centers_does_not_change_the_information():
    centers, weights = normal_array(20, 3), np.exp(normal_array(20, seed=1))
    order = np.random.default_rng(2).permutation(20)
    shuffled = mixture_information(centers[order], 0.5, weights=weights[order], tolerance=0.008, seed=1)
    original = mixture_information(centers, 0.5, weights=weights, tolerance=0.008)
    assert standard_errors_apart(shuffled, original) <= STANDARD_ERRORS


def test_translation_changes_the_value_only_by_rounding():
    """Adding 1000 rounds centers by 1e-13, which changes terms by less than 1e-11, as |t - c| / sigma^2 < 100."""
    centers = normal_array(20, 3)
    translated = mixture_information(centers + 1000, 0.5, tolerance=None)
    assert translated.value == pytest.approx(mixture_information(centers, 0.5, tolerance=None).value, abs=1e-11)


def test_float32_far_from_zero_has_the_information_of_its_rounded_centers():
    """The centers are two steps of float32 apart; at 100,000 a step, 0.0078, exceeds sigma."""
    centers = (100_000 + PAIR * 0.005).astype(np.float32)
    gap = float(centers[1, 0] - centers[0, 0])
    estimate = mixture_information(centers, 0.005, tolerance=0.002)
    assert abs(estimate.value - information_on_line([0, gap / 0.005], 1)) <= STANDARD_ERRORS * estimate.standard_error


def test_float32_agrees_with_float64():
    centers = normal_array(30, 3)
    float32_estimate = mixture_information(centers.astype(np.float32), 0.5, tolerance=0.008, seed=1)
    float64_estimate = mixture_information(centers, 0.5, tolerance=0.008)
    assert standard_errors_apart(float32_estimate, float64_estimate) <= STANDARD_ERRORS


def test_wide_centers_have_the_information_of_their_subspace():
    centers = normal_array(50, 3)
    embedded_rows = centers @ np.linalg.qr(normal_array(2000, 3, seed=1))[0].T + normal_array(2000, seed=2)
    embedded_estimate = mixture_information(embedded_rows, 0.5, tolerance=0.01, seed=1)
    estimate = mixture_information(centers, 0.5, tolerance=0.01)
    assert standard_errors_apart(embedded_estimate, estimate) <= STANDARD_ERRORS


def test_entropy_of_wide_centers_counts_the_noise_of_every_dimension():
    centers = normal_array(50, 3) @ np.linalg.qr(normal_array(2000, 3, seed=1))[0].T
    entropy, information = (f(centers, 0.5, tolerance=None) for f in (mixture_entropy, mixture_information))
    assert entropy.value - information.value == pytest.approx(1000 * math.log(2 * math.pi * math.e * 0.25), rel=1e-14)
