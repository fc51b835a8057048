"""Arguments of the bounds that are out of range."""

import math
from fractions import Fraction

import pytest

from layerbits import theory


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: theory.plugin_risk_bound(1, dim=1, sigma=1), "n"),
        (lambda: theory.plugin_risk_bound(10, dim=0, sigma=1), "dim"),
        (lambda: theory.samples_needed(0.1, dim=10**9, sigma=0.1), "dim"),
        (lambda: theory.sharp_mse_bound(10, 1, dim=10**400), "dim"),
        (lambda: theory.plugin_risk_bound(10, dim=1, sigma=0), "sigma"),
        (lambda: theory.plugin_risk_bound(10, dim=1, sigma=1e-200), "sigma"),
        (lambda: theory.plugin_risk_bound(10, dim=1, sigma=1, slack=0), "slack"),
        (lambda: theory.subgaussian_risk_bound(10, dim=1, sigma=1, norm=-1), "norm"),
        (lambda: theory.subgaussian_covering_risk_bound(0, dim=1, sigma=1, norm=1), "n"),
        (lambda: theory.monte_carlo_mse_bound(10, 0, dim=1, sigma=1), "draws"),
        (lambda: theory.information_mse_bound(10, 1, dim=1, sigma=1, mean_square=math.inf), "mean_square"),
        (lambda: theory.finite_support_bias_bound(10, 0), "atoms"),
        (lambda: theory.covering_risk_bound(10, dim=1, sigma=1, atoms=0), "atoms"),
        (lambda: theory.information_risk_bound(-0.1, dim=1, sigma=1), "entropy_risk"),
        (lambda: theory.separable_levels(dim=1, sigma=1, confusion=1.0), "confusion"),
        (lambda: theory.log_necessary_samples(0.0, dim=1, sigma=1), "bias"),
        (lambda: theory.samples_needed(0.0, dim=1, sigma=1), "error"),
        (lambda: theory.samples_needed(1e-200, dim=1, sigma=1), "error"),
        (lambda: theory.samples_needed(0.1, dim=1, sigma=1, monte_carlo_share=1), "monte_carlo_share"),
        (lambda: theory.information_ceiling(dim=1, sigma=1, inputs=0), "inputs"),
    ],
)
def test_argument_out_of_range_is_named(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: got .*, wanted "):
        call()


@pytest.mark.parametrize(
    ("bound", "limit"),
    [
        (lambda n: theory.plugin_risk_bound(n, dim=2, sigma=1), 0.0),
        (lambda n: theory.covering_risk_bound(n, dim=2, sigma=1), 0.0),
        (lambda n: theory.monte_carlo_mse_bound(n, 2, dim=2, sigma=1), 0.0),
        (lambda n: theory.monte_carlo_mse_bound(n, 2, dim=2, sigma=1, mean_square=3), 0.0),
        (lambda n: theory.information_mse_bound(n, 2, dim=2, sigma=1), 0.0),
        (lambda n: theory.sharp_mse_bound(n, 2, dim=2), 0.0),
        (lambda n: theory.information_risk_bound(0.1, dim=2, sigma=1, n=n), 0.2),
    ],
)
def test_number_of_samples_may_be_too_large_for_a_float(bound, limit):
    # Every bound falls at least like log(n) / sqrt(n), which is below 1e-190 here.
    assert bound(10**400) == pytest.approx(limit, rel=1e-15, abs=1e-190)


def test_smallest_noise_and_error_in_the_largest_dimension_need_samples_that_satisfy_the_bound():
    log_samples = theory.samples_needed(1e-30, dim=10**7, sigma=1e-30).log_samples
    # log A = d (log k + 1/2) with k = sqrt(8) / sigma; the bound A / n of the bias, and n = A / .9e-30.
    assert log_samples == pytest.approx(1e7 * (math.log(8) / 2 + 30 * math.log(10) + 0.5), rel=1e-6)


def test_number_of_samples_must_be_an_integer():
    with pytest.raises(TypeError, match=r"^n: got float"):
        theory.covering_risk_bound(1e9, dim=1, sigma=1)


@pytest.mark.parametrize("bound", [theory.worst_case_bias, theory.log_necessary_samples])
def test_confusion_may_be_a_fraction(bound):
    assert bound(2, dim=5, sigma=0.1, confusion=Fraction(1, 4)) == bound(2, dim=5, sigma=0.1, confusion=0.25) > 0
