"""Sufficient and necessary numbers of samples."""

import math

import numpy as np
import pytest
from mpmath import mp

from layerbits import theory
from tests.support.exact_plugin import ExactPlugin

LEVELS = {
    0.1: {**dict.fromkeys(range(1, 12), 3), 12: 2, 13: 2, 100: 2, 10_000: 2},
    0.005: {2: 71, 3: 68, 4: 66, 5: 64, 10: 60},
    0.05: {2: 7, 3: 6, 4: 6, 5: 6, 10: 6},
}
# Exponents and logarithms of up to 1e5 lose five of the sixteen digits of a double.
ROUNDING = 1e-10


@pytest.mark.parametrize(("sigma", "dim", "levels"), [(s, d, k) for s, row in LEVELS.items() for d, k in row.items()])
def test_separable_levels_agree_with_the_table(sigma, dim, levels):
    assert theory.separable_levels(dim=dim, sigma=sigma) == levels


@pytest.mark.parametrize(("sigma", "n"), [(0.05, 1), (0.05, 2), (0.05, 3), (0.1, 1), (0.1, 2), (0.15, 1)])
def test_lattice_has_at_least_the_worst_case_bias(sigma, n):
    levels = theory.separable_levels(dim=1, sigma=sigma)
    lattice = (2 * np.arange(levels) + 1) / levels - 1
    bias = ExactPlugin(lattice, sigma, n).bias
    assert 0 < theory.worst_case_bias(n, dim=1, sigma=sigma) <= bias <= theory.finite_support_bias_bound(n, levels)


def test_worst_case_bias_agrees_with_hand_computation():
    # k* = 3 at d = 5; H_b(.01) = .056 nats
    expected = 5 * 0.99 * math.log(3) - math.log(20) + 0.01 * math.log(0.01) + 0.99 * math.log(0.99)
    assert theory.worst_case_bias(20, dim=5, sigma=0.1) == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize(("dim", "sigma"), [(1, 0.05), (5, 0.1), (10_000, 0.1)])
def test_worst_case_bias_of_the_necessary_samples_is_the_given_bias(dim, sigma):
    log_n = theory.log_necessary_samples(0.5, dim=dim, sigma=sigma)
    with mp.workdps(5000):
        n = int(mp.exp(log_n))
    # n is truncated to an integer, and a logarithm of up to 7000 is rounded.
    assert theory.worst_case_bias(n, dim=dim, sigma=sigma) == pytest.approx(0.5, abs=1 / n + 1e-11)


def test_bounds_are_trivial_without_a_lattice():
    assert theory.separable_levels(dim=3, sigma=1.0) == 0
    assert theory.worst_case_bias(1, dim=3, sigma=1.0) == 0
    assert theory.log_necessary_samples(0.1, dim=3, sigma=1.0) == 0


@pytest.mark.parametrize("atoms", [None, 4096])
@pytest.mark.parametrize(
    ("dim", "sigma", "error"), [(1, 0.1, 0.1), (3, 0.3, 0.01), (10, 1.0, 0.2), (2, 0.5, 3.0), (1, 0.1, 9.0)]
)
def test_samples_needed_is_the_smallest_sufficient_number(dim, sigma, error, atoms):
    size = theory.samples_needed(error, dim=dim, sigma=sigma, atoms=atoms)
    n = int(size.samples)

    def is_sufficient(n):
        return theory.covering_risk_bound(n, dim=dim, sigma=sigma, atoms=atoms) <= 0.9 * error

    assert is_sufficient(n)
    assert n == 1 or not is_sufficient(n - 1)
    assert theory.sharp_mse_bound(n, size.draws, dim=dim) <= (0.1 * error) ** 2 * (1 + ROUNDING)
    assert size.draws == 1 or theory.sharp_mse_bound(n, size.draws - 1, dim=dim) > (0.1 * error) ** 2


def test_log_samples_is_right_where_samples_overflow():
    size = theory.samples_needed(0.1, dim=10_000, sigma=0.1)
    assert (size.samples, size.necessary) == (math.inf, math.inf)
    assert size.draws == 1
    with mp.workdps(20_000):
        sufficient, insufficient = int(mp.exp(size.log_samples)), int(mp.exp(size.log_samples - 2**-29))
    bound, bound_with_fewer = (theory.covering_risk_bound(n, dim=10_000, sigma=0.1) for n in (sufficient, insufficient))
    # log n has steps of 2^-30 and, at 4e4, a rounding error below 1e-11.
    assert bound == pytest.approx(0.09, abs=1e-9)
    assert bound_with_fewer > 0.09
    assert size.log_necessary == pytest.approx(theory.log_necessary_samples(0.1, dim=10_000, sigma=0.1))


def test_fewer_atoms_need_fewer_samples_but_more_than_necessary():
    any_law = theory.samples_needed(0.1, dim=12, sigma=0.1)
    finite_support = theory.samples_needed(0.1, dim=12, sigma=0.1, atoms=4096)
    assert any_law.necessary < finite_support.samples < any_law.samples
