"""Betting bounds of means, compared with exact tails and over seeds, and in cases where a normal interval is wrong.

A bound may be wrong with probability `RISK`. The probability that more than `MAX_WRONG` of `SEEDS` valid bounds are
wrong is at most 1e-6.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from layerbits.statistics import lower_mean_bound, mean_bounds, upper_mean_bound

RISK, SEEDS = 0.05, 400
MAX_WRONG = stats.binom.ppf(1 - 1e-6, SEEDS, RISK)


def lower_bound(terms, pilot=(0.0, 1.0), *, risk=RISK, lower_limit=0.0, upper_limit=1.0, **options):
    """Compute the bound of terms (q, n), each row a pass."""
    passes = [np.array(pilot), *np.atleast_2d(np.asarray(terms, float))]
    return lower_mean_bound(passes, lower_limit=lower_limit, upper_limit=upper_limit, risk=risk, **options)


def count_wrong(sample, mean, **options):
    """Count the seeds whose bound exceeds `mean`, the expectation of the terms of `sample`."""
    return sum(lower_bound(sample(np.random.default_rng(seed)), **options) > mean for seed in range(SEEDS))


# Coins, whose exact risk is a sum over outcomes


def coins(ones, n):
    return np.arange(n) < ones


@pytest.mark.parametrize("n", [5, 200])
@pytest.mark.parametrize("risk", [0.01, 0.2])
def test_bound_of_one_pass_of_coins_is_wrong_no_more_often_than_its_risk(n, risk):
    """The bound of one pass depends on the number of ones alone: the risk is a sum of binomial probabilities."""
    bounds = np.array([lower_bound(coins(ones, n), risk=risk) for ones in range(n + 1)])
    for p in np.linspace(0.02, 0.98, 49):
        assert stats.binom.pmf(np.arange(n + 1), n, p)[bounds > p].sum() <= risk


@pytest.mark.parametrize("sizes", [(3, 3, 3), (2, 6)])
def test_bound_of_several_passes_of_coins_is_wrong_no_more_often_than_its_risk(sizes):
    """Stakes depend on earlier passes, so the risk is a sum over all outcomes."""
    cuts = np.cumsum(sizes)[:-1]
    outcomes = np.array(list(itertools.product([0.0, 1.0], repeat=sum(sizes))))
    pilot = np.array([0.0, 1.0])
    bounds = np.array(
        [lower_mean_bound([pilot, *np.split(x, cuts)], lower_limit=0.0, upper_limit=1.0, risk=0.2) for x in outcomes]
    )
    ones = outcomes.sum(1)
    for p in (0.2, 0.6, 0.9):
        probabilities = p**ones * (1 - p) ** (sum(sizes) - ones)
        assert probabilities[bounds > p].sum() <= 0.2


@pytest.mark.parametrize("ones", [50, 120, 190])
def test_bound_of_coins_is_near_the_best_bound(ones):
    """No bound that grows with the ones and holds for all coins exceeds that of Clopper and Pearson.

    Stakes are optimal for a variance of 1/4, whose bound is sqrt(2 log(1 / RISK)) = 2.45 standard errors below the mean
    (1.64 for a normal bound); 0.02 covers terms of second order and other variances.
    """
    exact = stats.beta.ppf(RISK, ones, 200 - ones + 1)
    bound = lower_bound(coins(ones, 200))
    assert ones / 200 - 2.45 * 0.5 / math.sqrt(200) - 0.02 <= bound <= exact


# Cases in which a normal interval is wrong


def test_bound_covers_rare_low_terms_that_have_not_occurred():
    """One term in a thousand is -6, the others are 0: three quarters of all samples of 300 terms are all 0."""

    def sample(generator):
        return np.where(generator.random((3, 100)) < 1e-3, -6.0, 0.0)

    assert count_wrong(sample, -0.006, lower_limit=-6.0, upper_limit=0.5, pilot=(0.0, 0.0)) <= MAX_WRONG


def test_terms_of_different_expectations_are_covered():
    means = np.linspace(-2, 2, 25)

    def sample(generator):
        return means + generator.choice([-0.5, 0.5], (8, 25))

    assert count_wrong(sample, 0.0, lower_limit=-2.5, upper_limit=2.5, pilot=means) <= MAX_WRONG


def test_different_expectations_cost_little_after_some_passes():
    """The bound of forty passes with means from -2 to 2 is at most 1.3 times as wide as with equal means."""
    deviations = np.random.default_rng(0).choice([-0.5, 0.5], (40, 25))
    means = np.linspace(-2, 2, 25)
    equal_means_bound = lower_bound(deviations, lower_limit=-2.5, upper_limit=2.5, pilot=deviations[0])
    different_means_bound = lower_bound(
        means + deviations, lower_limit=-2.5, upper_limit=2.5, pilot=means + deviations[0]
    )
    one_pass_bound = lower_bound(
        (means + deviations).ravel(), lower_limit=-2.5, upper_limit=2.5, pilot=means + deviations[0]
    )
    average = deviations.mean()
    # The spread of all terms is sqrt(0.25 + 4/3 * 1.08) = 1.3: it would make the bound 2.6 times as wide.
    assert average - different_means_bound < 1.3 * (average - equal_means_bound) < 0.6 * (average - one_pass_bound)


def test_passes_of_different_sizes_are_covered():
    def bound(seed):
        generator = np.random.default_rng(seed)
        passes = [np.array([0.0, 1.0]), *(generator.random(n) for n in (30, 7, 60))]
        return lower_mean_bound(passes, lower_limit=0.0, upper_limit=1.0, risk=RISK)

    assert sum(bound(seed) > 0.5 for seed in range(SEEDS)) <= MAX_WRONG


@pytest.mark.parametrize("fixed_count", [True, False])
def test_bound_does_not_depend_on_how_many_passes_are_forecast_together(monkeypatch, fixed_count):
    generator, options = np.random.default_rng(0), {"lower_limit": 0.0, "upper_limit": 1.0, "risk": RISK}
    passes = [generator.random(n) for n in (4, *[10] * 8, *[6] * 5)]
    bounds = []
    for terms in (2**15, 25, 1):
        monkeypatch.setattr(mean_bounds, "_BLOCK_TERMS", terms)
        bounds.append(lower_mean_bound(passes, **options, fixed_count=fixed_count))
    assert bounds[0] == bounds[1] == bounds[2] > 0


def test_passes_may_end_at_any_time_if_their_count_is_not_fixed():
    """The largest of the bounds after 1 to 8 passes is wrong no more often than a single bound."""

    def largest_bound(seed):
        passes = [np.array([0.0, 1.0]), *np.random.default_rng(seed).choice([0.0, 1.0], (8, 20))]
        options = {"lower_limit": 0.0, "upper_limit": 1.0, "risk": RISK, "fixed_count": False}
        return max(lower_mean_bound(passes[:k], **options) for k in range(2, 10))

    assert sum(largest_bound(seed) > 0.5 for seed in range(SEEDS)) <= MAX_WRONG


# Properties of every sample


def test_bound_of_constant_terms_is_that_of_the_largest_stake():
    """The largest stake, 0.9 / span, on n terms c: n log(1 + 0.9 (c - m) / span) = log(1 / risk)."""
    n, span = 500, 3.0
    bound = lower_bound(np.full(n, 1.0), lower_limit=-1.0, upper_limit=2.0, pilot=(1.0, 1.0))
    assert 1.0 - bound == pytest.approx(span / 0.9 * math.expm1(-math.log(RISK) / n), abs=1e-8)


def test_stake_depends_on_the_pilot_alone():
    """The variance of the pilot is 1/36: the stake is sqrt(2 log(1 / RISK) / (n / 36)) = 0.66, whatever the terms."""
    terms = np.random.default_rng(0).random(500)
    bound = lower_bound(terms, pilot=(1 / 3, 2 / 3))
    log_wealth = np.log1p(math.sqrt(-2 * math.log(RISK) * 36 / 500) * (terms - bound)).sum()
    assert log_wealth == pytest.approx(-math.log(RISK), abs=1e-5)


def test_bound_falls_with_the_risk_to_the_floor():
    terms = np.random.default_rng(0).random((4, 20))
    bounds = [lower_bound(terms, risk=risk) for risk in (0.5, 0.1, 1e-2, 1e-4, 1e-8, 1e-60)]
    assert all(larger > smaller for larger, smaller in itertools.pairwise(bounds[:-1]))
    assert bounds[0] < terms.mean()
    assert bounds[-1] == 0.0


def test_bound_never_exceeds_the_ceiling():
    assert lower_bound(np.full(1000, 5.0), lower_limit=0.0, upper_limit=1.0, pilot=(0.0, 1.0)) == 1.0


def test_bound_has_the_shift_and_scale_of_the_terms():
    terms = np.random.default_rng(0).random((4, 20))
    moved = lower_bound(3 * terms - 7, pilot=(-7.0, -4.0), lower_limit=-7.0, upper_limit=-4.0)
    assert moved == pytest.approx(3 * lower_bound(terms) - 7, abs=1e-8)


def test_upper_bound_is_minus_the_lower_bound_of_negated_terms():
    passes = list(np.random.default_rng(0).random((5, 20)))
    uppers = []
    for fixed_count in (True, False):
        options = {"risk": RISK, "fixed_count": fixed_count}
        uppers.append(upper_mean_bound(passes, lower_limit=0.0, upper_limit=1.0, **options))
        assert uppers[-1] == -lower_mean_bound(
            [-terms for terms in passes], lower_limit=-1.0, upper_limit=0.0, **options
        )
        assert np.mean(passes[1:]) < uppers[-1] < 1
    assert uppers[0] != uppers[1]
