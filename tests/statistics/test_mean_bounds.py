"""Confidence bounds for means: against exact tails, over seeds, and where a normal interval would be wrong.

Bounds may be wrong with a probability of `RISK`. Of `SEEDS` right ones more than `MOST_WRONG` are with one of 1e-6.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from layerbits.statistics import (
    channel_interval,
    in_passes,
    lower_mean_bound,
    rare_share,
    secured,
    student_margin,
    upper_mean_bound,
)

RISK, SEEDS = 0.05, 400
MOST_WRONG = stats.binom.ppf(1 - 1e-6, SEEDS, RISK)


def bernoulli_terms(ones, n):
    return np.arange(n) < ones


def lower(terms, pilot=(0.0, 1.0), *, risk=RISK, floor=0.0, ceiling=1.0, **options):
    """Bound of terms (q, n), each row a pass."""
    rows = np.atleast_2d(np.asarray(terms, float))
    return lower_mean_bound([np.array(pilot)], list(rows), floor=floor, ceiling=ceiling, risk=risk, **options)


def wrong(make, mean, **options):
    """Number of seeds with a bound above the mean of what `make` draws."""
    return sum(lower(make(np.random.default_rng(seed)), **options) > mean for seed in range(SEEDS))


# Coins, of which everything is known


@pytest.mark.parametrize("n", [5, 40, 200])
@pytest.mark.parametrize("risk", [0.01, 0.2])
def test_coins_are_covered_exactly(n, risk):
    """A bound of one pass depends on the number of ones alone: its coverage is a sum of binomial probabilities."""
    bounds = np.array([lower(bernoulli_terms(ones, n), risk=risk) for ones in range(n + 1)])
    for p in np.linspace(0.02, 0.98, 49):
        assert stats.binom.pmf(np.arange(n + 1), n, p)[bounds > p].sum() <= risk


@pytest.mark.parametrize("passes", [(3, 3, 3), (2, 6)])
def test_coins_of_several_passes_are_covered_exactly(passes):
    """Stakes then depend on what came before: all outcomes are gone through."""
    cuts = np.cumsum(passes)[:-1]
    for p in (0.2, 0.6, 0.9):
        failed = 0.0
        for outcome in itertools.product([0.0, 1.0], repeat=sum(passes)):
            found = lower_mean_bound(
                [np.array([0.0, 1.0])], np.split(np.array(outcome), cuts), floor=0.0, ceiling=1.0, risk=0.2
            )
            ones = sum(outcome)
            failed += (found > p) * p**ones * (1 - p) ** (len(outcome) - ones)
        assert failed <= 0.2


@pytest.mark.parametrize("ones", [50, 120, 190])
def test_bound_is_no_absurd_one(ones):
    """No bound that grows with the ones and holds for all coins exceeds that of Clopper and Pearson.

    Stakes are right for a variance of 1/4, of which the bound is sqrt(2 log(1 / RISK)) = 2.45 standard errors away; the
    normal one is 1.64, and two hundredths are for what stakes of another size and the second order lose.
    """
    exact = stats.beta.ppf(RISK, ones, 200 - ones + 1)
    found = lower(bernoulli_terms(ones, 200))
    assert ones / 200 - 2.45 * 0.5 / math.sqrt(200) - 0.02 <= found <= exact


# What a normal interval would get wrong


def test_rare_drops_are_paid_for_before_they_are_seen():
    """One term in a thousand is 6 lower: of 300 terms three quarters of all samples have none, and no spread at all."""

    def make(random):
        return np.where(random.random((3, 100)) < 1e-3, -6.0, 0.0)

    assert wrong(make, -0.006, floor=-6.0, ceiling=0.5, pilot=(0.0, 0.0)) <= MOST_WRONG


def test_terms_of_different_expectations_are_covered():
    means = np.linspace(-2, 2, 25)

    def make(random):
        return means + random.choice([-0.5, 0.5], (8, 25))

    assert wrong(make, 0.0, floor=-2.5, ceiling=2.5, pilot=means) <= MOST_WRONG


def test_different_expectations_cost_nothing_once_they_are_known():
    """Ten passes over means from -2 to 2 and a spread of 0.5: forecast, they are hardly wider than for equal means."""
    spread = np.random.default_rng(0).choice([-0.5, 0.5], (40, 25))
    means = np.linspace(-2, 2, 25)
    known = lower(spread, floor=-2.5, ceiling=2.5, pilot=spread[0])
    unknown = lower(means + spread, floor=-2.5, ceiling=2.5, pilot=means + spread[0])
    naive = lower((means + spread).ravel(), floor=-2.5, ceiling=2.5, pilot=means + spread[0])
    average = spread.mean()
    # The spread of all terms is sqrt(0.25 + 4/3 * 1.08) = 1.3: 2.6 times as wide if it counted.
    assert average - unknown < 1.3 * (average - known) < 0.6 * (average - naive)


def test_a_pass_of_fewer_inputs_is_covered():
    def make(random):
        return [random.random(n) for n in (30, 7, 60)]

    def bound(seed):
        passes = make(np.random.default_rng(seed))
        return lower_mean_bound([np.array([0.0, 1.0])], passes, floor=0.0, ceiling=1.0, risk=RISK)

    assert sum(bound(seed) > 0.5 for seed in range(SEEDS)) <= MOST_WRONG


def test_one_may_stop_where_one_likes_if_the_number_is_not_foreseen():
    """Stop at the first of 12 passes whose bound is above the mean: twelve bounds for a mean would fail more often."""

    def failed(seed):
        passes = list(np.random.default_rng(seed).choice([0.0, 1.0], (12, 20)))
        bounds = [
            lower_mean_bound([np.array([0.0, 1.0])], passes[:count], floor=0.0, ceiling=1.0, risk=RISK, foreseen=False)
            for count in range(1, 13)
        ]
        return max(bounds) > 0.5

    assert sum(failed(seed) for seed in range(SEEDS)) <= MOST_WRONG


# What holds for every sample


def test_constant_terms_have_the_rule_of_three():
    """The boldest stake, 0.9 / span, on n terms c: n log(1 + 0.9 (c - m) / span) = log(1 / risk)."""
    n, span = 500, 3.0
    found = lower(np.full(n, 1.0), floor=-1.0, ceiling=2.0, pilot=(1.0, 1.0))
    assert 1.0 - found == pytest.approx(span / 0.9 * math.expm1(-math.log(RISK) / n), abs=1e-8)


def test_stake_of_a_pass_is_that_of_the_pilot():
    """Of variance 1/36: sqrt(2 log(1 / RISK) / (n / 36)) = 0.66, whatever the terms turn out to be."""
    terms = np.random.default_rng(0).random(500)
    found = lower(terms, pilot=(1 / 3, 2 / 3))
    wealth = np.log1p(math.sqrt(-2 * math.log(RISK) * 36 / 500) * (terms - found)).sum()
    assert wealth == pytest.approx(-math.log(RISK), abs=1e-5)


def test_bound_falls_with_the_risk_and_stays_above_the_floor():
    terms = np.random.default_rng(0).random((4, 20))
    bounds = [lower(terms, risk=risk) for risk in (0.5, 0.1, 1e-2, 1e-4, 1e-8, 1e-60)]
    assert all(one > other for one, other in itertools.pairwise(bounds[:-1]))
    assert bounds[0] < terms.mean()
    assert bounds[-1] == 0.0


def test_bound_never_exceeds_the_ceiling():
    assert lower(np.full(1000, 5.0), floor=0.0, ceiling=1.0, pilot=(0.0, 1.0)) == 1.0


def test_shift_and_scale_of_terms_are_those_of_the_bound():
    terms = np.random.default_rng(0).random((4, 20))
    moved = lower(3 * terms - 7, pilot=(-7.0, -4.0), floor=-7.0, ceiling=-4.0)
    assert moved == pytest.approx(3 * lower(terms) - 7, abs=1e-8)


def test_upper_bound_is_the_lower_one_upside_down():
    terms = np.random.default_rng(0).random((4, 20))
    found = upper_mean_bound([np.array([0.0, 1.0])], list(terms), floor=0.0, ceiling=1.0, risk=RISK)
    assert found == pytest.approx(1 - lower(1 - terms, pilot=(1.0, 0.0)), abs=1e-8)


# Channels


@pytest.mark.parametrize(("n", "q"), [(3, 7), (3, 200), (3, 1000)])
def test_passes_hold_every_term_once_and_all_inputs_each(n, q):
    terms = np.arange(n * q, dtype=float).reshape(n, q)
    found = in_passes(terms)
    assert len(found) == min(q, 64)
    assert sorted(np.concatenate(found)) == list(range(n * q))
    for one in found:
        assert (np.diff(one // q) >= 0).all()  # in the order of the inputs, by which passes are compared
        assert np.bincount((one // q).astype(int)).tolist() == [len(one) / n] * n


def test_many_queries_of_few_inputs_take_no_time():
    """Forecasts from all passes before would take the square of 100,000."""
    terms = np.random.default_rng(0).random((2, 100_000))
    low, high = channel_interval(terms, ceiling=1.0, most=1.0, risk=RISK)
    assert 0.495 < low < 0.5 < high < 0.505  # 5 standard errors of 0.289 / sqrt(200,000), 1.4 times as wide and more


def test_terms_that_rounding_put_above_the_most_are_at_it():
    """Of classes that say nothing, where both are 0."""
    terms = np.where(np.random.default_rng(0).random((12, 8)) < 0.05, 1e-16, 0.0)
    assert channel_interval(terms, ceiling=0.0, most=0.0, risk=RISK) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("q", [2, 5, 30])
def test_channel_interval_holds_the_information(q):
    """Terms of a channel that erases 7 of 10 of 8 symbols: log 8 or 0, I = 0.3 log 8."""

    def misses(seed):
        terms = np.where(np.random.default_rng(seed).random((8, q)) < 0.3, math.log(8), 0.0)
        low, high = channel_interval(terms, ceiling=math.log(8), most=math.log(8), risk=RISK)
        return np.array([low > 0.3 * math.log(8), high < 0.3 * math.log(8)])

    below, above = sum(misses(seed) for seed in range(SEEDS))
    assert max(below, above) <= MOST_WRONG


@pytest.mark.parametrize("share", [1e-3, 0.5])
def test_secured_terms_have_a_floor_and_cost_little(share):
    terms = np.array([-math.inf, -1e4, -3.0, 0.0, 2.0])
    found = secured(terms, share)
    np.testing.assert_allclose(np.exp(found), (1 - share) * np.exp(terms) + share)
    assert (found >= math.log(share)).all()
    assert (found >= terms + math.log1p(-share)).all()


@pytest.mark.parametrize(("n", "share"), [(1, 0.5), (6, -math.log(RISK) / 6), (10_000, -math.log(RISK) / 10_000)])
def test_rare_share_is_seen_among_n_but_for_the_risk(n, share):
    assert rare_share(n, RISK) == share
    assert n < 6 or (1 - share) ** n <= RISK


# Student


@pytest.mark.parametrize("freedom", [1, 3, 30])
@pytest.mark.parametrize("count", [1, 5])
def test_margin_of_equal_variances_is_students(freedom, count):
    margin = student_margin(np.full(count, 0.5), freedom, RISK)
    assert margin == pytest.approx(stats.t.ppf(1 - RISK, freedom * count) * math.sqrt(0.5 * count), rel=1e-12)


def test_margin_of_one_variance_among_many_is_students_for_it_alone():
    margin = student_margin(np.array([0.0, 2.0, 0.0]), 4, RISK)
    assert margin == pytest.approx(stats.t.ppf(1 - RISK, 4) * math.sqrt(2), rel=1e-12)


def test_margin_is_that_of_welch():
    """scipy's Welch interval of a difference of means is the same formula for two samples of one size."""
    one, other = np.random.default_rng(0).normal(size=(2, 6)) * [[1.0], [3.0]]
    truth = stats.ttest_ind(one, other, equal_var=False).confidence_interval(1 - 2 * RISK)
    variances = np.array([one.var(ddof=1), other.var(ddof=1)]) / 6
    assert student_margin(variances, 5, RISK) == pytest.approx((truth.upper - truth.lower) / 2, rel=1e-10)


@pytest.mark.parametrize(("variances", "freedom", "margin"), [([0.0, 0.0], 3, 0.0), ([1.0], 0, math.inf)])
def test_margin_without_spread_or_freedom(variances, freedom, margin):
    assert student_margin(np.array(variances), freedom, RISK) == margin


def test_upper_bound_is_the_lower_one_upside_down_whether_foreseen_or_not():
    pilot, *passes = np.random.default_rng(0).uniform(0, 1, (4, 200))
    bounds = []
    for foreseen in (True, False):
        upper = upper_mean_bound([pilot], passes, floor=0.0, ceiling=1.0, risk=0.05, foreseen=foreseen)
        mirrored = lower_mean_bound(
            [-pilot], [-one for one in passes], floor=-1.0, ceiling=0.0, risk=0.05, foreseen=foreseen
        )
        assert upper == -mirrored
        bounds.append(upper)
    assert bounds[0] != bounds[1]
