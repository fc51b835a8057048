"""The bounds: published tables, other ways to compute them, and errors of the plug-in that are known exactly."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

from layerbits import theory
from tests.support import answers as known_answers

# Table I of arXiv 1810.11589: n = 1e9, sigma = 1, epsilon = .005.
TABLE_I = {1: 7.41e-4, 2: 0.00166, 3: 0.00369, 5: 0.0179, 7: 0.0856, 9: 0.402, 10: 0.869, 11: 1.87, 12: 4.02}
LEVELS = {
    0.1: {**dict.fromkeys(range(1, 12), 3), 12: 2, 13: 2, 100: 2, 10_000: 2},
    0.005: {2: 71, 3: 68, 4: 66, 5: 64, 10: 60},
    0.05: {2: 7, 3: 6, 4: 6, 5: 6, 10: 6},
}
# What rounding takes from a double: exponents and logarithms of up to 1e5 lose five of sixteen digits.
ROUNDING = 1e-10

dims = st.integers(1, 1000)
sigmas = st.floats(1e-3, 1e3)
counts = st.integers(1, 10**30)


class ExactPlugin:
    """Plug-in information of n samples of a law on the line: every sample, by quadrature."""

    def __init__(self, atoms, sigma, n, law=None):
        law = np.full(len(atoms), 1 / len(atoms)) if law is None else np.array(law)
        samples = np.array(list(itertools.product(range(len(atoms)), repeat=n)))
        self.probabilities = law[samples].prod(1)
        shares = np.array([np.bincount(sample, minlength=len(atoms)) for sample in samples]) / n
        axis = known_answers.grid(min(atoms), max(atoms), sigma)
        density = known_answers.normal(axis - np.asarray(atoms)[:, None], sigma)
        noise = known_answers.entropy(known_answers.normal(axis - atoms[0], sigma), axis)
        self.values = np.array([known_answers.entropy(share @ density, axis) - noise for share in shares])
        self.truth = known_answers.entropy(law @ density, axis) - noise

    @property
    def bias(self):
        return self.truth - self.probabilities @ self.values

    @property
    def deviation(self):
        return math.sqrt(self.probabilities @ (self.values - self.probabilities @ self.values) ** 2)

    @property
    def risk(self):
        return self.probabilities @ abs(self.values - self.truth)


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


@pytest.mark.parametrize(("dim", "value"), TABLE_I.items())
def test_risk_bound_gives_the_published_table(dim, value):
    unit = 10 ** (math.floor(math.log10(value)) - 2)  # of its third digit
    assert theory.plugin_risk_bound(10**9, dim=dim, sigma=1) == pytest.approx(value, abs=unit)


@pytest.mark.parametrize("dim", TABLE_I)
def test_published_table_holds_because_the_covering_bound_is_smaller(dim):
    assert theory.covering_risk_bound(10**9, dim=dim, sigma=1) < theory.plugin_risk_bound(10**9, dim=dim, sigma=1) / 5


# The table of docs/theory.md for the layers of the network on the SZT data: n = 4096, sigma = .005.
@pytest.mark.parametrize(
    ("dim", "paper", "covering", "least"),
    [(10, 1.1e10, 60, 32), (7, 4.3e8, 40, 20), (5, 2.1e8, 26, 12), (4, 1.4e8, 19, 8.2), (3, 7.7e7, 12, 4.2)],
)
def test_bounds_for_the_szt_network_are_as_printed_and_vacuous(dim, paper, covering, least):
    bounds = [bound(4096, dim=dim, sigma=0.005) for bound in (theory.plugin_risk_bound, theory.covering_risk_bound)]
    assert [f"{value:.2g}" for value in bounds] == [f"{value:.2g}" for value in (paper, covering)]
    assert f"{theory.least_bias(4096, dim=dim, sigma=0.005):.2g}" == f"{least:.2g}"
    assert all(theory.is_vacuous(value, dim=dim, sigma=0.005, inputs=4096) for value in bounds)


@pytest.mark.parametrize(("sigma", "dim", "levels"), [(s, d, k) for s, row in LEVELS.items() for d, k in row.items()])
def test_separable_levels_are_the_known_ones(sigma, dim, levels):
    assert theory.separable_levels(dim=dim, sigma=sigma) == levels


CASES = [(2, 1, 0.3), (1000, 3, 0.005), (10**9, 12, 1.0), (10**40, 128, 0.1), (10**400, 1000, 0.7), (100, 5, 0.6)]


@pytest.mark.parametrize(("n", "d", "sigma"), CASES)
def test_risk_bound_is_the_formula_in_50_digits(n, d, sigma):
    with mp.workdps(50):
        s2 = mp.mpf(sigma) ** 2
        side = 2 + 2 * mp.sqrt(s2 * mp.mpf(2.005) * mp.log(n))
        c = mp.mpf(d) / 2 * mp.log(2 * mp.pi * s2) + d / s2
        first = mp.log(n * side**d / (mp.pi * s2) ** mp.mpf(d / 2)) * side ** mp.mpf(d / 2) / mp.sqrt(n)
        second = c**2 + 2 * c * d * (1 + s2) / s2 + 8 * d * (d + 2 * s2**2 + d * s2**2) / s2**2
        expected = first / (2 * (4 * mp.pi * s2) ** mp.mpf(d / 4)) + second * 2 / n
    assert theory.plugin_risk_bound(n, dim=d, sigma=sigma) == pytest.approx(float(expected), rel=ROUNDING, abs=0)


@pytest.mark.parametrize("norm", [0.1, 0.8, 3.0])
@pytest.mark.parametrize(("n", "d", "sigma"), CASES)
def test_subgaussian_bound_is_the_formula_in_50_digits(n, d, sigma, norm):
    with mp.workdps(50):
        s2, k2, log_n = mp.mpf(sigma) ** 2, mp.mpf(norm) ** 2, mp.log(n)
        quarter, spread = mp.mpf(d) / 4, (mp.mpf(norm) + mp.mpf(sigma)) ** 2
        volume = 8 * spread * log_n / ((mp.e - 1) * mp.pi * s2)
        first = mp.log(mp.sqrt(n) * volume**quarter) * (volume / 4) ** quarter / mp.sqrt(n)
        c = mp.mpf(d) / 2 * mp.log(2 * mp.pi * s2)
        second = (c + 2 * d * k2 / s2) * (c + 2 * (s2 * d + 3 * d * k2) / s2)
        second += 8 * (16 * d**2 * k2**2 + s2**2 * d * (2 + d)) / s2**2
        expected = first + second * 2 * mp.e * d / n
    assert theory.subgaussian_risk_bound(n, dim=d, sigma=sigma, norm=norm) == pytest.approx(
        float(expected), rel=ROUNDING
    )


def test_printed_bounds_beyond_all_floats_are_infinite():
    assert theory.plugin_risk_bound(100, dim=10_000, sigma=0.005) == math.inf
    assert theory.subgaussian_risk_bound(100, dim=10_000, sigma=0.005, norm=1) == math.inf


@given(counts, dims, sigmas, st.floats(1e-6, 1e6))
def test_sharp_bound_is_below_all_printed_ones(n, dim, sigma, mean_square):
    sharp = theory.sharp_mse_bound(n, 3, dim=dim)
    assert sharp <= theory.monte_carlo_mse_bound(n, 3, dim=dim, sigma=sigma)
    assert sharp <= theory.monte_carlo_mse_bound(n, 3, dim=dim, sigma=sigma, mean_square=mean_square)
    moment = dim * mean_square
    printed = 9 * dim * sigma**2 + 8 * (2 + sigma * math.sqrt(dim)) * moment
    printed += 3 * (11 * sigma * math.sqrt(dim) + 1) * math.sqrt(moment)
    assert sharp <= printed / (sigma**2 * n * 3)


def test_bounds_of_the_integration_by_hand():
    assert theory.monte_carlo_mse_bound(10, 5, dim=3, sigma=0.5) == pytest.approx(2 * 3 * 2.25 / (0.25 * 50))
    # M = 3, sigma^2 = 1, d = 1: 9 * 4 + 24 sqrt(12) + 48
    assert theory.monte_carlo_mse_bound(1, 1, dim=1, sigma=1, mean_square=3) == pytest.approx(84 + 24 * math.sqrt(12))
    assert theory.information_mse_bound(10, 5, dim=3, sigma=2) == pytest.approx(3 / 4 / 50)
    assert theory.information_mse_bound(10, 5, dim=3, sigma=0.2) == theory.sharp_mse_bound(10, 5, dim=3) == 3 / 50


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.5, 1.0, 2.0, 5.0])
def test_variance_of_a_draw_found_by_quadrature_is_below_the_bounds(sigma):
    axis = known_answers.grid(-1, 1, sigma)
    given_one = known_answers.normal(axis - 1, sigma)
    density = (given_one + known_answers.normal(axis + 1, sigma)) / 2

    def variance(terms):  # of a draw around the center 1; around -1 it is the same
        mean = np.trapezoid(given_one * terms, axis)
        return np.trapezoid(given_one * (terms - mean) ** 2, axis)

    with np.errstate(divide="ignore", invalid="ignore"):
        log_density = np.log(np.maximum(density, 1e-300))
        log_ratio = np.log(np.maximum(given_one, 1e-300)) - log_density
    assert variance(log_density) <= theory.sharp_mse_bound(1, 1, dim=1)
    assert variance(log_ratio) <= theory.information_mse_bound(1, 1, dim=1, sigma=sigma)


def test_exact_bias_lies_between_zero_and_the_bound_for_finite_support(exact):
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


def test_bias_of_separated_atoms_meets_its_bound_with_one_sample():
    assert ExactPlugin((-1.0, -0.3, 0.3, 1.0), 0.02, 1).bias == pytest.approx(math.log(4), abs=1e-9)
    assert theory.finite_support_bias_bound(1, 4) == pytest.approx(math.log(4), rel=ROUNDING, abs=0)


def test_one_atom_has_no_bias():
    assert theory.finite_support_bias_bound(7, 1) == 0


@given(st.integers(1, 10**15))
def test_fluctuation_is_that_of_the_binary_entropy(n):
    with mp.workdps(40):
        share = mp.mpf(1) / n
        entropy = -share * mp.log(share) - ((1 - share) * mp.log(1 - share) if n > 1 else 0)
        expected = float(mp.sqrt(n) * entropy / 2)
    assert theory.fluctuation_bound(n) == pytest.approx(expected, rel=ROUNDING, abs=0)
    assert theory.fluctuation_bound(n) <= (1 + math.log(n)) / (2 * math.sqrt(n)) * (1 + ROUNDING)


def test_fluctuation_of_astronomically_many_samples_keeps_its_digits():
    log_n = 2000 * math.log(10)
    assert theory.fluctuation_bound(10**2000) == 0  # below all floats
    n = 10**300
    assert theory.fluctuation_bound(n) == pytest.approx((1 + log_n * 0.15) / 2e150, rel=ROUNDING, abs=0)


@given(counts, dims, sigmas)
def test_covering_bound_is_below_its_simple_form(n, dim, sigma):
    cells = dim * (math.log(math.ceil(2 * math.sqrt(2) / sigma)) + 0.5)
    simple = np.logaddexp(0, cells - math.log(n)) + dim * (0.25 + 1 / sigma**2) / math.sqrt(n)
    assert theory.covering_risk_bound(n, dim=dim, sigma=sigma) <= simple * (1 + ROUNDING)


def test_covering_bound_takes_the_best_number_of_intervals():
    def factor(k):
        return k * math.exp(4 / (k * 0.3) ** 2)

    best = min(map(factor, range(1, 100)))
    bound = theory.covering_risk_bound(50, dim=2, sigma=0.3) - theory.fluctuation_bound(50)
    assert bound == pytest.approx(math.log(1 + (best**2 - 1) / 50), rel=ROUNDING, abs=0)


def test_strong_noise_bounds_the_fluctuation():
    cells = math.exp(3 * 4 / 100)  # of one interval on each axis
    expected = math.log(1 + (cells - 1) / 50) + 3 / (100 * math.sqrt(50))
    assert theory.covering_risk_bound(50, dim=3, sigma=10) == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize(
    ("n", "d", "sigma", "norm"),
    [(100, 1, 1.0, 0.8), (10**6, 3, 0.5, 0.8), (10**12, 6, 0.2, 0.3), (10**174, 50, 1.0, 0.8)],
)
def test_subgaussian_covering_bound_is_the_best_of_the_sums(n, d, sigma, norm):
    with mp.workdps(30):
        side, share = mp.mpf(sigma) / mp.sqrt(2), mp.exp(mp.mpf(d) / 2) / n

        def mass(j):
            return min(mp.mpf(1), d * mp.sqrt(mp.e) * mp.exp(-(((j - 1) * side) ** 2) / (2 * mp.e * mp.mpf(norm) ** 2)))

        shells = [mass(j) * mp.log1p(mp.mpf(2 * j) ** d * share / mass(j)) for j in range(1, 200)]
        sums = [mp.log1p(mp.mpf(2 * core) ** d * share) + mp.fsum(shells[core:]) for core in range(1, 199)]
        expected = float(min(sums)) + theory.fluctuation_bound(n)
    bound = theory.subgaussian_covering_risk_bound(n, dim=d, sigma=sigma, norm=norm)
    assert bound == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize("deviation", [0.3, 1.0, 3.0])
def test_risk_of_gaussian_signals_is_below_the_subgaussian_covering_bound(deviation):
    n, sigma, repeats = 30, 1.0, 40
    random = np.random.default_rng(0)
    truth = math.log1p((deviation / sigma) ** 2) / 2
    values = [known_answers.information_on_line(deviation * random.standard_normal(n), sigma) for _ in range(repeats)]
    errors = np.abs(np.array(values) - truth)
    bound = theory.subgaussian_covering_risk_bound(n, dim=1, sigma=sigma, norm=deviation * math.sqrt(2 / math.pi))
    assert errors.mean() - 5 * errors.std() / math.sqrt(repeats) <= bound


def test_norm_of_a_gaussian_is_as_documented():
    # E|N(0,1)|^p = 2^(p/2) Gamma((p + 1) / 2) / sqrt(pi); the norm is largest at p = 1.
    def moment(p):
        return (2 ** (p / 2) * math.gamma((p + 1) / 2) / math.sqrt(math.pi)) ** (1 / p) / math.sqrt(p)

    assert max(moment(p) for p in np.linspace(1, 60, 600)) == pytest.approx(math.sqrt(2 / math.pi))


@pytest.mark.parametrize(("sigma", "n"), [(0.05, 1), (0.05, 2), (0.05, 3), (0.1, 1), (0.1, 2), (0.15, 1)])
def test_lattice_has_the_least_bias(sigma, n):
    levels = theory.separable_levels(dim=1, sigma=sigma)
    lattice = (2 * np.arange(levels) + 1) / levels - 1
    bias = ExactPlugin(lattice, sigma, n).bias
    assert 0 < theory.least_bias(n, dim=1, sigma=sigma) <= bias <= theory.finite_support_bias_bound(n, levels)


def test_least_bias_by_hand():
    # k* = 3 at d = 5; H_b(.01) = .056 nats
    expected = 5 * 0.99 * math.log(3) - math.log(20) + 0.01 * math.log(0.01) + 0.99 * math.log(0.99)
    assert theory.least_bias(20, dim=5, sigma=0.1) == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize(("dim", "sigma"), [(1, 0.05), (5, 0.1), (10_000, 0.1)])
def test_least_samples_leave_the_bias(dim, sigma):
    log_n = theory.log_least_samples(0.5, dim=dim, sigma=sigma)
    with mp.workdps(5000):
        n = int(mp.exp(log_n))
    # n is cut to an integer, and the logarithm of up to 7000 rounds.
    assert theory.least_bias(n, dim=dim, sigma=sigma) == pytest.approx(0.5, abs=1 / n + 1e-11)


def test_no_lattice_gives_no_bound():
    assert theory.separable_levels(dim=3, sigma=1.0) == 0
    assert theory.least_bias(1, dim=3, sigma=1.0) == 0
    assert theory.log_least_samples(0.1, dim=3, sigma=1.0) == 0


def test_information_risk_by_hand():
    # 2 * .1 + 2 log 2 / (4 * 10); no second term where the average is over all inputs
    assert theory.information_risk_bound(0.1, dim=2, sigma=1, n=100) == pytest.approx(0.2 + math.log(2) / 20)
    assert theory.information_risk_bound(0.1, dim=2, sigma=1) == pytest.approx(0.2)


def test_ceiling_is_the_smaller_of_inputs_and_power():
    assert theory.information_ceiling(dim=3, sigma=0.005, inputs=4096) == pytest.approx(math.log(4096))
    assert theory.information_ceiling(dim=1, sigma=0.005, inputs=4096) == pytest.approx(math.log(1 + 4e4) / 2)
    assert theory.information_ceiling(dim=2, sigma=1, mean_square=3) == pytest.approx(math.log(4))


def test_vacuous_is_what_exceeds_the_ceiling():
    assert theory.is_vacuous(theory.plugin_risk_bound(4096, dim=3, sigma=0.005), dim=3, sigma=0.005, inputs=4096)
    assert not theory.is_vacuous(theory.plugin_risk_bound(10**9, dim=5, sigma=1), dim=5, sigma=1)
    assert theory.is_vacuous(math.log(2), dim=50, sigma=0.1, inputs=2)


@pytest.mark.parametrize("atoms", [None, 4096])
@pytest.mark.parametrize(
    ("dim", "sigma", "error"), [(1, 0.1, 0.1), (3, 0.3, 0.01), (10, 1.0, 0.2), (2, 0.5, 3.0), (1, 0.1, 9.0)]
)
def test_samples_needed_are_enough_and_no_more(dim, sigma, error, atoms):
    size = theory.samples_needed(error, dim=dim, sigma=sigma, atoms=atoms)
    n = int(size.samples)

    def enough(n):
        return theory.covering_risk_bound(n, dim=dim, sigma=sigma, atoms=atoms) <= 0.9 * error

    assert enough(n)
    assert n == 1 or not enough(n - 1)
    assert theory.sharp_mse_bound(n, size.draws, dim=dim) <= (0.1 * error) ** 2 * (1 + ROUNDING)
    assert size.draws == 1 or theory.sharp_mse_bound(n, size.draws - 1, dim=dim) > (0.1 * error) ** 2


def test_samples_beyond_all_floats_are_told_by_their_logarithm():
    size = theory.samples_needed(0.1, dim=10_000, sigma=0.1)
    assert (size.samples, size.least) == (math.inf, math.inf)
    assert size.draws == 1
    with mp.workdps(20_000):
        enough, fewer = int(mp.exp(size.log_samples)), int(mp.exp(size.log_samples - 2**-29))
    bounds = [theory.covering_risk_bound(n, dim=10_000, sigma=0.1) for n in (enough, fewer)]
    # Steps of 2^-30 in log n, and the rounding of logarithms of 4e4.
    assert bounds == pytest.approx([0.09, 0.09], abs=1e-9)
    assert size.log_least == pytest.approx(theory.log_least_samples(0.1, dim=10_000, sigma=0.1))


def test_fewer_atoms_need_fewer_samples_and_the_least_are_fewer_still():
    free = theory.samples_needed(0.1, dim=12, sigma=0.1)
    finite = theory.samples_needed(0.1, dim=12, sigma=0.1, atoms=4096)
    assert free.least < finite.samples < free.samples


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: theory.plugin_risk_bound(1, dim=1, sigma=1), "n"),
        (lambda: theory.plugin_risk_bound(10, dim=0, sigma=1), "dim"),
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
        (lambda: theory.log_least_samples(0.0, dim=1, sigma=1), "bias"),
        (lambda: theory.samples_needed(0.0, dim=1, sigma=1), "error"),
        (lambda: theory.samples_needed(1e-200, dim=1, sigma=1), "error"),
        (lambda: theory.samples_needed(0.1, dim=1, sigma=1, monte_carlo_share=1), "monte_carlo_share"),
        (lambda: theory.information_ceiling(dim=1, sigma=1, inputs=0), "inputs"),
    ],
)
def test_argument_out_of_range_is_named(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: got .*, wanted "):
        call()


def test_number_of_samples_must_be_an_integer():
    with pytest.raises(TypeError, match=r"^n: got float"):
        theory.covering_risk_bound(1e9, dim=1, sigma=1)


def test_infinite_risk_is_one_of_information_too():
    assert theory.information_risk_bound(math.inf, dim=1000, sigma=0.005) == math.inf


def test_nan_is_no_bound():
    with pytest.raises(ValueError, match=r"^bound: got NaN"):
        theory.is_vacuous(math.nan, dim=1, sigma=1)
