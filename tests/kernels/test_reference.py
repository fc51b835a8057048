"""The NumPy reference against mpmath, finite differences and quadrature."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from layerbits.kernels import reference
from tests.support.answers import exact_log_sum, information_in_plane, information_on_line
from tests.support.random_arrays import normal_array

STANDARD_ERRORS = 5


@pytest.mark.parametrize("weights", [np.ones(5), np.array([0.5, 2, 0, 1, 3])])
@pytest.mark.parametrize("sigma", [0.02, 1.0, 50.0])
def test_log_sum_exp_agrees_with_50_digits(sigma, weights):
    # Exponents have relative rounding errors of a few eps.
    points, centers = normal_array(4, 3), normal_array(5, 3, seed=1)
    exact = [exact_log_sum(point, centers, sigma, weights)[0] for point in points]
    log_sum = reference.log_sum_exp_isotropic(points, centers, sigma, weights=weights)
    np.testing.assert_allclose(log_sum, exact, rtol=1e-14, atol=1e-14)


def test_points_depend_on_the_centers_of_their_group_alone():
    points, centers = normal_array(5, 2), normal_array(7, 2, seed=1)
    log_sum = reference.log_sum_exp_isotropic(points, centers, 0.5, groups=(np.array([0, 2, 5]), np.array([0, 3, 7])))
    separate = [
        reference.log_sum_exp_isotropic(points[:2], centers[:3], 0.5),
        reference.log_sum_exp_isotropic(points[2:], centers[3:], 0.5),
    ]
    np.testing.assert_array_equal(log_sum, np.concatenate(separate))


def test_group_without_centers_has_an_empty_sum():
    log_sum = reference.log_sum_exp_isotropic(
        normal_array(2, 2), normal_array(3, 2), 0.5, groups=(np.array([0, 1, 2]), np.array([0, 0, 3]))
    )
    assert (log_sum[0], np.isfinite(log_sum[1])) == (-np.inf, True)


@pytest.mark.parametrize("argument", ["points", "centers", "sigma", "weights"])
def test_gradient_agrees_with_finite_differences(argument):
    # Forward differences of step 1e-7 have errors of about 1e-7 times the second derivative, plus eps / 1e-7.
    arguments = {
        "points": normal_array(3, 2),
        "centers": normal_array(4, 2, seed=1),
        "sigma": np.array([0.7]),
        "weights": np.array([1.0, 2, 0.5, 0.3]),
    }
    upstream = np.array([1.0, -2, 0.5])

    def objective(flat):
        values = arguments | {argument: flat.reshape(arguments[argument].shape)}
        log_sums = reference.log_sum_exp_isotropic(
            values["points"], values["centers"], float(values["sigma"][0]), weights=values["weights"]
        )
        return float(upstream @ log_sums)

    gradients = dict(
        zip(
            ("points", "centers", "weights", "sigma"),
            reference.log_sum_exp_isotropic_gradient(
                arguments["points"], arguments["centers"], 0.7, upstream, weights=arguments["weights"]
            ),
            strict=True,
        )
    )
    expected = approx_fprime(arguments[argument].ravel(), objective, 1e-7)
    np.testing.assert_allclose(np.ravel(gradients[argument]), expected, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 512])
def test_log_density_is_the_normalised_log_sum(chunk):
    points, centers = normal_array(7, 3), normal_array(5, 3, seed=1)
    expected = reference.log_sum_exp_isotropic(points, centers, 0.4) - math.log(5) - 1.5 * math.log(2 * math.pi * 0.16)
    np.testing.assert_allclose(reference.mixture_log_density(points, centers, 0.4, chunk=chunk), expected, atol=1e-12)


def test_entropy_agrees_with_quadrature():
    centers = normal_array(5, 2)
    value, error = reference.mixture_entropy(centers, 0.5, queries=50_000)
    exact = information_in_plane(centers, 0.5) + math.log(2 * math.pi * math.e * 0.25)
    assert abs(value - exact) <= STANDARD_ERRORS * error


def test_plug_in_information_of_a_known_channel_agrees_with_quadrature():
    # The terms log p(t|x) - log p(t) have a standard deviation below 1: the standard error is below 1 / sqrt(6 * 500).
    centers = normal_array(6, 1)
    value = reference.plug_in_information(centers[:, None], 0.5, queries=500)
    assert abs(value - information_on_line(centers.ravel(), 0.5)) <= STANDARD_ERRORS / math.sqrt(6 * 500)
