"""The published bounds against the table of the paper and their formulas in 50 digits."""

import math

import numpy as np
import pytest
from mpmath import mp

from layerbits import theory

# Table I of arXiv 1810.11589: n = 1e9, sigma = 1, epsilon = .005.
TABLE_I = {1: 7.41e-4, 2: 0.00166, 3: 0.00369, 5: 0.0179, 7: 0.0856, 9: 0.402, 10: 0.869, 11: 1.87, 12: 4.02}
# Exponents and logarithms of up to 1e5 lose five of the sixteen digits of a double.
ROUNDING = 1e-10
CASES = [(2, 1, 0.3), (1000, 3, 0.005), (10**9, 12, 1.0), (10**40, 128, 0.1), (10**400, 1000, 0.7), (100, 5, 0.6)]


@pytest.mark.parametrize(("dim", "value"), TABLE_I.items())
def test_risk_bound_agrees_with_the_published_table(dim, value):
    unit = 10 ** (math.floor(math.log10(value)) - 2)  # one unit of the third digit
    assert theory.plugin_risk_bound(10**9, dim=dim, sigma=1) == pytest.approx(value, abs=unit)


@pytest.mark.parametrize("dim", TABLE_I)
def test_covering_bound_is_less_than_a_fifth_of_the_published_bound(dim):
    assert theory.covering_risk_bound(10**9, dim=dim, sigma=1) < theory.plugin_risk_bound(10**9, dim=dim, sigma=1) / 5


# The table of docs/theory.md for the layers of the network on the SZT data: n = 4096, sigma = .005.
@pytest.mark.parametrize(
    ("dim", "published", "covering", "worst_case_bias"),
    [(10, 1.1e10, 60, 32), (7, 4.3e8, 40, 20), (5, 2.1e8, 26, 12), (4, 1.4e8, 19, 8.2), (3, 7.7e7, 12, 4.2)],
)
def test_bounds_of_the_szt_layers_are_as_documented_and_vacuous(dim, published, covering, worst_case_bias):
    bounds = [bound(4096, dim=dim, sigma=0.005) for bound in (theory.plugin_risk_bound, theory.covering_risk_bound)]
    assert [f"{value:.2g}" for value in bounds] == [f"{value:.2g}" for value in (published, covering)]
    assert f"{theory.worst_case_bias(4096, dim=dim, sigma=0.005):.2g}" == f"{worst_case_bias:.2g}"
    assert all(theory.is_vacuous(value, dim=dim, sigma=0.005, inputs=4096) for value in bounds)


@pytest.mark.parametrize(("n", "d", "sigma"), CASES)
def test_risk_bound_agrees_with_its_formula_in_50_digits(n, d, sigma):
    with mp.workdps(50):
        s2 = mp.mpf(sigma) ** 2
        side = 2 + 2 * mp.sqrt(s2 * mp.mpf(2.005) * mp.log(n))
        c = mp.mpf(d) / 2 * mp.log(2 * mp.pi * s2) + d / s2
        leading = mp.log(n * side**d / (mp.pi * s2) ** mp.mpf(d / 2)) * side ** mp.mpf(d / 2) / mp.sqrt(n)
        polynomial = c**2 + 2 * c * d * (1 + s2) / s2 + 8 * d * (d + 2 * s2**2 + d * s2**2) / s2**2
        expected = leading / (2 * (4 * mp.pi * s2) ** mp.mpf(d / 4)) + polynomial * 2 / n
    assert theory.plugin_risk_bound(n, dim=d, sigma=sigma) == pytest.approx(float(expected), rel=ROUNDING, abs=0)


@pytest.mark.parametrize("norm", [0.1, 0.8, 3.0])
@pytest.mark.parametrize(("n", "d", "sigma"), CASES)
def test_subgaussian_bound_agrees_with_its_formula_in_50_digits(n, d, sigma, norm):
    with mp.workdps(50):
        s2, k2, log_n = mp.mpf(sigma) ** 2, mp.mpf(norm) ** 2, mp.log(n)
        quarter, spread = mp.mpf(d) / 4, (mp.mpf(norm) + mp.mpf(sigma)) ** 2
        volume = 8 * spread * log_n / ((mp.e - 1) * mp.pi * s2)
        leading = mp.log(mp.sqrt(n) * volume**quarter) * (volume / 4) ** quarter / mp.sqrt(n)
        c = mp.mpf(d) / 2 * mp.log(2 * mp.pi * s2)
        polynomial = (c + 2 * d * k2 / s2) * (c + 2 * (s2 * d + 3 * d * k2) / s2)
        polynomial += 8 * (16 * d**2 * k2**2 + s2**2 * d * (2 + d)) / s2**2
        expected = leading + polynomial * 2 * mp.e * d / n
    assert theory.subgaussian_risk_bound(n, dim=d, sigma=sigma, norm=norm) == pytest.approx(
        float(expected), rel=ROUNDING
    )


def test_published_bounds_that_overflow_are_infinite():
    assert theory.plugin_risk_bound(100, dim=10_000, sigma=0.005) == math.inf
    assert theory.subgaussian_risk_bound(100, dim=10_000, sigma=0.005, norm=1) == math.inf


def test_subgaussian_norm_of_a_gaussian_is_as_documented():
    # E|N(0,1)|^p = 2^(p/2) Gamma((p + 1) / 2) / sqrt(pi); the norm is largest at p = 1.
    def moment(p):
        return (2 ** (p / 2) * math.gamma((p + 1) / 2) / math.sqrt(math.pi)) ** (1 / p) / math.sqrt(p)

    assert max(moment(p) for p in np.linspace(1, 60, 600)) == pytest.approx(math.sqrt(2 / math.pi))


def test_information_risk_agrees_with_hand_computation():
    # 2 * 0.1 + 2 log 2 / (4 * 10); the second term is 0 if the average is over all inputs.
    assert theory.information_risk_bound(0.1, dim=2, sigma=1, n=100) == pytest.approx(0.2 + math.log(2) / 20)
    assert theory.information_risk_bound(0.1, dim=2, sigma=1) == pytest.approx(0.2)


def test_infinite_entropy_risk_gives_infinite_information_risk():
    assert theory.information_risk_bound(math.inf, dim=1000, sigma=0.005) == math.inf
