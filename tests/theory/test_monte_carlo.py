"""Bounds on the Monte Carlo error, and limits of information, against hand computation and quadrature."""

import math

import numpy as np
import pytest

from layerbits import theory
from tests.support import answers
from tests.support.bound_arguments import combinations


def test_sharp_bound_is_below_the_published_bounds():
    for n, dim, sigma, mean_square in combinations((1e-6, 1e-2, 1.0, 30.0, 1e6)):
        sharp = theory.sharp_mse_bound(n, 3, dim=dim)
        moment = dim * mean_square
        published = 9 * dim * sigma**2 + 8 * (2 + sigma * math.sqrt(dim)) * moment
        published += 3 * (11 * sigma * math.sqrt(dim) + 1) * math.sqrt(moment)
        others = (
            theory.monte_carlo_mse_bound(n, 3, dim=dim, sigma=sigma),
            theory.monte_carlo_mse_bound(n, 3, dim=dim, sigma=sigma, mean_square=mean_square),
            published / (sigma**2 * n * 3),
        )
        assert sharp <= min(others), (n, dim, sigma, mean_square)


def test_monte_carlo_bounds_agree_with_hand_computation():
    assert theory.monte_carlo_mse_bound(10, 5, dim=3, sigma=0.5) == pytest.approx(2 * 3 * 2.25 / (0.25 * 50))
    # M = 3, sigma^2 = 1, d = 1: 9 * 4 + 24 sqrt(12) + 48
    assert theory.monte_carlo_mse_bound(1, 1, dim=1, sigma=1, mean_square=3) == pytest.approx(84 + 24 * math.sqrt(12))
    assert theory.information_mse_bound(10, 5, dim=3, sigma=2) == pytest.approx(3 / 4 / 50)
    assert theory.information_mse_bound(10, 5, dim=3, sigma=0.2) == theory.sharp_mse_bound(10, 5, dim=3) == 3 / 50


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5, 1.0, 2.0, 5.0])
def test_variance_of_a_draw_by_quadrature_is_below_the_bounds(sigma):
    axis = answers.grid(-1, 1, sigma)
    density_given_one = answers.normal(axis - 1, sigma)
    density = (density_given_one + answers.normal(axis + 1, sigma)) / 2

    def variance(terms):  # at the center 1; the center -1 has the same by symmetry
        mean = np.trapezoid(density_given_one * terms, axis)
        return np.trapezoid(density_given_one * (terms - mean) ** 2, axis)

    with np.errstate(divide="ignore", invalid="ignore"):
        log_density = np.log(np.maximum(density, 1e-300))
        log_ratio = np.log(np.maximum(density_given_one, 1e-300)) - log_density
    assert variance(log_density) <= theory.sharp_mse_bound(1, 1, dim=1)
    assert variance(log_ratio) <= theory.information_mse_bound(1, 1, dim=1, sigma=sigma)


def test_ceiling_is_the_minimum_of_inputs_and_power():
    assert theory.information_ceiling(dim=3, sigma=0.005, inputs=4096) == pytest.approx(math.log(4096))
    assert theory.information_ceiling(dim=1, sigma=0.005, inputs=4096) == pytest.approx(math.log(1 + 4e4) / 2)
    assert theory.information_ceiling(dim=2, sigma=1, mean_square=3) == pytest.approx(math.log(4))


def test_bound_above_the_ceiling_is_vacuous():
    assert theory.is_vacuous(theory.plugin_risk_bound(4096, dim=3, sigma=0.005), dim=3, sigma=0.005, inputs=4096)
    assert not theory.is_vacuous(theory.plugin_risk_bound(10**9, dim=5, sigma=1), dim=5, sigma=1)
    assert theory.is_vacuous(math.log(2), dim=50, sigma=0.1, inputs=2)


def test_nan_bound_is_refused():
    with pytest.raises(ValueError, match=r"^bound: got NaN"):
        theory.is_vacuous(math.nan, dim=1, sigma=1)
