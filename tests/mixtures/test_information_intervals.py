"""Intervals, standard errors, budgets and seeds of `mixture_information`."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from layerbits import mixture_entropy, mixture_information
from layerbits.mixtures import KnownChannel, information
from layerbits.mixtures.stratified_passes import StratifiedPasses
from tests.support.answers import BPSK, information_on_line
from tests.support.random_arrays import normal_array

PAIR = np.array([[-1.0], [1.0]])
SEEDS = 300

# Centers, weights and `max_draws` of an estimate.
CASES = {
    "equal weights": (normal_array(6, 1), None, 512),
    "unequal weights": (normal_array(6, 1), np.exp(2 * normal_array(6, seed=1)), 512),
    "more centers than strata": (normal_array(300, 1), np.exp(normal_array(300, seed=1)), 128),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Return the true information of a case, and estimates of it over seeds."""
    centers, weights, draws = CASES[request.param]
    options = {"weights": weights, "tolerance": None, "confidence": 0.9, "max_draws": draws}
    estimates = [mixture_information(centers, 0.4, seed=seed, **options) for seed in range(SEEDS)]
    return information_on_line(centers.ravel(), 0.4, weights), estimates


def count_hits(truth, estimates):
    return sum(estimate.lower <= truth <= estimate.upper for estimate in estimates)


def test_interval_contains_the_true_value_at_its_level(case):
    """The count of hits is binomial; the bound is its 1e-6 quantile at the stated level."""
    assert count_hits(*case) >= stats.binom.ppf(1e-6, SEEDS, 0.9)


def test_standard_error_is_the_spread_over_seeds(case):
    """(n - 1) s^2 / variance is chi-squared, within its 1e-6 quantiles. Collapsed strata add at most 5 % here."""
    _, estimates = case
    spread = np.std([estimate.value for estimate in estimates], ddof=1)
    standard_error = math.sqrt(np.mean([estimate.standard_error**2 for estimate in estimates]))
    smallest, largest = np.sqrt(stats.chi2.ppf([1e-6, 1 - 1e-6], SEEDS - 1) / (SEEDS - 1))
    assert spread / largest <= standard_error <= 1.05 * spread / smallest


def test_interval_contains_the_true_value_after_passes_were_added(monkeypatch):
    """The first two passes have few strata, with 640 queries in all."""
    monkeypatch.setattr(information, "_PILOT_STRATA", 64)
    monkeypatch.setattr(information, "_FIRST_STRATA", 256)
    estimates = [mixture_information(PAIR, 1, seed=seed, confidence=0.9, tolerance=0.02) for seed in range(100)]
    assert all(estimate.draws > 640 for estimate in estimates)
    assert count_hits(BPSK[1], estimates) >= stats.binom.ppf(1e-6, 100, 0.9)


def test_interval_contains_the_true_value_where_queries_rarely_cross_the_midpoint():
    """Centers are 7 sigma apart: one query in 4300 crosses the midpoint. Such queries cause 70 % of log 2 - I."""
    truth = information_on_line(np.array([0.0, 7.0]), 1.0)
    centers = np.array([[0.0], [7.0]])
    estimates = [mixture_information(centers, 1.0, tolerance=None, max_draws=1024, seed=seed) for seed in range(100)]
    assert count_hits(truth, estimates) >= stats.binom.ppf(1e-6, 100, 0.95)


@pytest.mark.parametrize("tolerance", [0.01, 0.002])
def test_interval_is_as_narrow_as_the_tolerance(tolerance):
    estimate = mixture_information(PAIR, 0.5, tolerance=tolerance)
    assert estimate.upper - estimate.lower <= 2 * tolerance
    assert estimate.converged


def test_interval_of_a_higher_level_contains_that_of_a_lower_level():
    at_80, at_99 = (mixture_information(PAIR, 1, tolerance=None, confidence=level) for level in (0.8, 0.99))
    assert at_99.lower < at_80.lower < at_80.value < at_80.upper < at_99.upper


@pytest.mark.parametrize("sigma", [0.25, 30])
def test_interval_stays_within_its_limits(sigma):
    for seed in range(20):
        estimate = mixture_information(PAIR, sigma, tolerance=None, max_draws=64, seed=seed)
        assert 0 <= estimate.lower <= estimate.value <= estimate.upper <= math.log(2)


def test_pairwise_bounds_narrow_the_interval_of_few_centers():
    """The bet alone has an interval of 0.12 nats: (log 20 + 7.9) expm1(log(40) / 384) / 0.9, with 384 strata."""
    estimate = mixture_information(1e4 * normal_array(20, 2), 1.0, tolerance=None, max_draws=1024)
    assert math.log(20) - 1e-9 <= estimate.lower <= estimate.upper <= math.log(20)


def test_passes_of_equal_size_have_different_noise():
    """If the second pass had the queries of the first, the mean would not change."""
    channel = KnownChannel(torch.from_numpy(PAIR), 1.0)
    passes = StratifiedPasses(channel, channel.bet("I(X;T)", 0.025, 1e-3, fixed_count=False), seed=0)
    passes.add(100)
    first_mean = passes.mean
    passes.add(100)
    assert passes.strata == 200
    assert passes.mean != first_mean


@pytest.mark.parametrize(("budget", "tolerance"), [(64, 1e-6), (65, 1e-6), (1000, 1e-6), (20_001, 1e-308)])
def test_estimate_keeps_its_budget_and_reports_a_tolerance_that_it_does_not_reach(budget, tolerance):
    estimate = mixture_information(PAIR, 1, tolerance=tolerance, max_draws=budget)
    assert estimate.draws <= budget
    assert not estimate.converged
    assert str(estimate).endswith(f"tolerance not reached in {estimate.draws} draws")


def test_estimate_without_a_tolerance_has_converged():
    assert mixture_information(PAIR, 1, tolerance=None).converged


def test_equal_seeds_give_the_same_bits_and_different_seeds_do_not():
    first, second, third = (mixture_information(PAIR, 1, tolerance=None, seed=seed) for seed in (3, 3, 4))
    assert first == second
    assert first.value != third.value


def test_global_generators_keep_their_states():
    def states():
        return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = states()
    mixture_entropy(PAIR, 1, tolerance=None)
    assert states() == before


def test_arguments_keep_their_values():
    centers, weights = normal_array(9, 3), np.exp(normal_array(9))
    copies = centers.copy(), weights.copy()
    mixture_information(centers, 0.5, weights=weights, tolerance=None)
    np.testing.assert_array_equal(centers, copies[0])
    np.testing.assert_array_equal(weights, copies[1])


def test_centers_and_sigma_may_require_gradients():
    centers, sigma = torch.from_numpy(PAIR).requires_grad_(), torch.tensor(1.0, requires_grad=True)
    assert mixture_information(centers, sigma) == mixture_information(PAIR, 1)
