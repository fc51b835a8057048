"""The bounds that hold for every n, against exact plug-ins, other formulas and mpmath."""

import math

import numpy as np
import pytest
from mpmath import mp

from layerbits import theory
from tests.support import answers
from tests.support.bound_arguments import combinations
from tests.support.exact_plugin import ExactPlugin

# Exponents and logarithms of up to 1e5 lose five of the sixteen digits of a double.
ROUNDING = 1e-10

LAWS = [
    (atoms, sigma, n, law)
    for atoms, law in [((-1.0, 1.0), None), ((-1.0, 1.0), (0.75, 0.25)), ((-1.0, -0.2, 0.5, 1.0), (0.1, 0.2, 0.3, 0.4))]
    for sigma in (0.1, 0.5, 1.0, 4.0)
    for n in (1, 2, 5)
]


@pytest.fixture(scope="module", params=LAWS, ids=str)
def exact(request):
    atoms, sigma, n, law = request.param
    return ExactPlugin(atoms, sigma, n, law), n, sigma, len(atoms)


def test_exact_bias_lies_between_zero_and_the_finite_support_bound(exact):
    plugin, n, _, atoms = exact
    assert -ROUNDING <= plugin.bias <= theory.finite_support_bias_bound(n, atoms) + ROUNDING


def test_exact_deviation_is_below_the_bounds(exact):
    plugin, n, sigma, _ = exact
    assert plugin.deviation <= theory.fluctuation_bound(n) + ROUNDING
    assert plugin.deviation <= 1 / (sigma**2 * math.sqrt(n))


@pytest.mark.parametrize("with_atoms", [False, True])
def test_exact_risk_is_below_the_covering_bound(exact, with_atoms):
    plugin, n, sigma, atoms = exact
    bound = theory.covering_risk_bound(n, dim=1, sigma=sigma, atoms=atoms if with_atoms else None)
    assert plugin.risk <= bound + ROUNDING


def test_bias_of_separated_atoms_with_one_sample_equals_its_bound():
    assert ExactPlugin((-1.0, -0.3, 0.3, 1.0), 0.02, 1).bias == pytest.approx(math.log(4), abs=1e-9)
    assert theory.finite_support_bias_bound(1, 4) == pytest.approx(math.log(4), rel=ROUNDING, abs=0)


def test_one_atom_has_no_bias():
    assert theory.finite_support_bias_bound(7, 1) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 999, 65_537, 10**9, 10**15 - 1, 10**15])
def test_fluctuation_bound_agrees_with_the_binary_entropy(n):
    with mp.workdps(40):
        p = mp.mpf(1) / n
        entropy = -p * mp.log(p) - ((1 - p) * mp.log(1 - p) if n > 1 else 0)
        expected = float(mp.sqrt(n) * entropy / 2)
    assert theory.fluctuation_bound(n) == pytest.approx(expected, rel=ROUNDING, abs=0)
    assert theory.fluctuation_bound(n) <= (1 + math.log(n)) / (2 * math.sqrt(n)) * (1 + ROUNDING)


def test_fluctuation_bound_is_precise_for_huge_n():
    assert theory.fluctuation_bound(10**2000) == 0  # underflow
    expected = (1 + 300 * math.log(10)) / 2e150
    assert theory.fluctuation_bound(10**300) == pytest.approx(expected, rel=ROUNDING, abs=0)


def test_covering_bound_is_below_its_simple_form():
    for n, dim, sigma in combinations():
        cells = dim * (math.log(math.ceil(2 * math.sqrt(2) / sigma)) + 0.5)
        simple = np.logaddexp(0, cells - math.log(n)) + dim * (0.25 + 1 / sigma**2) / math.sqrt(n)
        assert theory.covering_risk_bound(n, dim=dim, sigma=sigma) <= simple * (1 + ROUNDING), (n, dim, sigma)


def test_covering_bound_uses_the_best_number_of_intervals():
    def factor(k):
        return k * math.exp(4 / (k * 0.3) ** 2)

    best = min(map(factor, range(1, 100)))
    bound = theory.covering_risk_bound(50, dim=2, sigma=0.3) - theory.fluctuation_bound(50)
    assert bound == pytest.approx(math.log(1 + (best**2 - 1) / 50), rel=ROUNDING, abs=0)


def test_strong_noise_bounds_the_fluctuation_in_the_covering_bound():
    cells = math.exp(3 * 4 / 100)  # one interval on each axis
    expected = math.log(1 + (cells - 1) / 50) + 3 / (100 * math.sqrt(50))
    assert theory.covering_risk_bound(50, dim=3, sigma=10) == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize(
    ("n", "d", "sigma", "norm"),
    [(100, 1, 1.0, 0.8), (10**6, 3, 0.5, 0.8), (10**12, 6, 0.2, 0.3), (10**174, 50, 1.0, 0.8)],
)
def test_subgaussian_covering_bound_is_the_smallest_sum(n, d, sigma, norm):
    with mp.workdps(30):
        side, a = mp.mpf(sigma) / mp.sqrt(2), mp.exp(mp.mpf(d) / 2) / n

        def tail(j):
            return min(mp.mpf(1), d * mp.sqrt(mp.e) * mp.exp(-(((j - 1) * side) ** 2) / (2 * mp.e * mp.mpf(norm) ** 2)))

        shells = [tail(j) * mp.log1p(mp.mpf(2 * j) ** d * a / tail(j)) for j in range(1, 200)]
        sums = [mp.log1p(mp.mpf(2 * core) ** d * a) + mp.fsum(shells[core:]) for core in range(1, 199)]
        expected = float(min(sums)) + theory.fluctuation_bound(n)
    bound = theory.subgaussian_covering_risk_bound(n, dim=d, sigma=sigma, norm=norm)
    assert bound == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize("deviation", [0.3, 1.0, 3.0])
def test_risk_of_gaussian_signals_is_below_the_subgaussian_covering_bound(deviation):
    n, sigma, repeats = 30, 1.0, 40
    generator = np.random.default_rng(0)
    truth = math.log1p((deviation / sigma) ** 2) / 2
    values = [answers.information_on_line(deviation * generator.standard_normal(n), sigma) for _ in range(repeats)]
    errors = np.abs(np.array(values) - truth)
    bound = theory.subgaussian_covering_risk_bound(n, dim=1, sigma=sigma, norm=deviation * math.sqrt(2 / math.pi))
    assert errors.mean() - 5 * errors.std() / math.sqrt(repeats) <= bound
