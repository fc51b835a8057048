"""The slow twin itself, against mpmath, finite differences and quadrature: who judges must not err alike."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from layerbits.kernels import reference
from tests.support.answers import exact_log_sum, information_in_plane, information_on_line

Z = 5


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("weights", [np.ones(5), np.array([0.5, 2, 0, 1, 3])])
@pytest.mark.parametrize("sigma", [0.02, 1.0, 50.0])
def test_log_sum_exp_is_that_of_40_digits(sigma, weights):
    """Exponents round by a few eps of themselves."""
    points, centers = random(4, 3), random(5, 3, seed=1)
    truth = [exact_log_sum(point, centers, sigma, weights)[0] for point in points]
    found = reference.log_sum_exp_isotropic(points, centers, sigma, weights=weights)
    np.testing.assert_allclose(found, truth, rtol=1e-14, atol=1e-14)


def test_groups_meet_only_their_own():
    points, centers = random(5, 2), random(7, 2, seed=1)
    found = reference.log_sum_exp_isotropic(
        points, centers, 0.5, point_offsets=np.array([0, 2, 5]), center_offsets=np.array([0, 3, 7])
    )
    apart = [
        reference.log_sum_exp_isotropic(points[:2], centers[:3], 0.5),
        reference.log_sum_exp_isotropic(points[2:], centers[3:], 0.5),
    ]
    np.testing.assert_array_equal(found, np.concatenate(apart))


def test_group_without_centers_has_an_empty_sum():
    found = reference.log_sum_exp_isotropic(
        random(2, 2), random(3, 2), 0.5, point_offsets=np.array([0, 1, 2]), center_offsets=np.array([0, 0, 3])
    )
    assert (found[0], np.isfinite(found[1])) == (-np.inf, True)


@pytest.mark.parametrize("argument", ["points", "centers", "sigma", "weights"])
def test_gradient_is_that_of_finite_differences(argument):
    """Forward differences of step 1e-7: their error is about 1e-7 times the second derivative, and eps / 1e-7."""
    point = {
        "points": random(3, 2),
        "centers": random(4, 2, seed=1),
        "sigma": np.array([0.7]),
        "weights": np.array([1.0, 2, 0.5, 0.3]),
    }
    upstream = np.array([1.0, -2, 0.5])

    def objective(flat):
        values = point | {argument: flat.reshape(point[argument].shape)}
        log_sums = reference.log_sum_exp_isotropic(
            values["points"], values["centers"], float(values["sigma"][0]), weights=values["weights"]
        )
        return float(upstream @ log_sums)

    gradients = dict(
        zip(
            ("points", "centers", "weights", "sigma"),
            reference.log_sum_exp_isotropic_gradient(
                point["points"], point["centers"], 0.7, upstream, weights=point["weights"]
            ),
            strict=True,
        )
    )
    truth = approx_fprime(point[argument].ravel(), objective, 1e-7)
    np.testing.assert_allclose(np.ravel(gradients[argument]), truth, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 512])
def test_log_density_is_the_normalised_log_sum(chunk):
    points, centers = random(7, 3), random(5, 3, seed=1)
    truth = reference.log_sum_exp_isotropic(points, centers, 0.4) - math.log(5) - 1.5 * math.log(2 * math.pi * 0.16)
    np.testing.assert_allclose(reference.mixture_log_density(points, centers, 0.4, chunk=chunk), truth, atol=1e-12)


def test_entropy_is_that_of_quadrature():
    centers = random(5, 2)
    value, error = reference.mixture_entropy(centers, 0.5, draws=50_000)
    truth = information_in_plane(centers, 0.5) + math.log(2 * math.pi * math.e * 0.25)
    assert abs(value - truth) <= Z * error


def test_layer_information_is_that_of_quadrature_where_one_draw_is_exact():
    """Terms log p(t|x) - log p(t) lie within a spread of 1 of one another: standard error 1 / sqrt(6 * 500)."""
    centers = random(6, 1)
    value = reference.layer_information(centers[:, None], 0.5, queries=500)
    assert abs(value - information_on_line(centers.ravel(), 0.5)) <= Z / math.sqrt(6 * 500)
