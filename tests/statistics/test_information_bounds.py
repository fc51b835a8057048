"""Intervals of the information of a known channel, and decoders mixed with the prior."""

import math

import numpy as np
import pytest
from scipy import stats

from layerbits.statistics import InformationBet, mix_with_prior, split_passes, unseen_probability

RISK, SEEDS = 0.05, 400
# The probability that more than `MAX_WRONG` of `SEEDS` valid bounds are wrong is at most 1e-6.
MAX_WRONG = stats.binom.ppf(1 - 1e-6, SEEDS, RISK)


def interval(terms, ceiling, largest_term):
    """Compute the interval from terms (n, q), whose first pass is the pilot."""
    pilot, *passes = split_passes(terms)
    prior_weight = unseen_probability(sum(map(len, passes)), RISK)
    bet = InformationBet(ceiling, largest_term, RISK, prior_weight, fixed_count=True)
    return bet.interval([bet.pass_of(x[None]) for x in (pilot, *passes)])


@pytest.mark.parametrize("q", [2, 12])
def test_interval_contains_the_information_of_an_erasure_channel(q):
    """The channel erases each of 8 equally likely symbols with probability 0.7: terms are log 8 or 0, I = 0.3 log 8."""
    truth = 0.3 * math.log(8)

    def is_wrong(seed):
        terms = np.where(np.random.default_rng(seed).random((8, q)) < 0.3, math.log(8), 0.0)
        ends = interval(terms, ceiling=math.log(8), largest_term=math.log(8))
        return np.array([ends.lower > truth, ends.upper < truth])

    assert sum(is_wrong(seed) for seed in range(SEEDS)).max() <= MAX_WRONG


def test_terms_along_the_first_axis_are_averaged():
    """A term and its mirror image 1 - term have the mean 1/2; as independent terms they would give a wide interval."""
    terms = np.random.default_rng(0).random((2, 200))
    bet = InformationBet(1.0, 1.0, RISK, 1e-3, fixed_count=True)
    ends = bet.interval([bet.pass_of(np.stack([x, 1 - x])) for x in terms])
    # The terms of the upper end are constant, so the stake is the largest, 0.9 / span with a span of 1. At this margin
    # above 1/2 the wealth (1 + 0.9 margin)^200 is 1 / risk.
    assert ends.upper == pytest.approx(0.5 + math.expm1(-math.log(RISK) / 200) / 0.9, abs=1e-8)


def test_terms_above_the_largest_by_rounding_are_bounded():
    """Classes that carry no information have a ceiling of 0."""
    terms = np.where(np.random.default_rng(0).random((12, 8)) < 0.05, 1e-16, 0.0)
    ends = interval(terms, ceiling=0.0, largest_term=0.0)
    assert (ends.lower, ends.upper) == pytest.approx((0, 0), abs=1e-12)


def test_interval_of_many_queries_of_two_inputs_is_narrow():
    """The queries become 64 passes, because the cost of forecasts is the square of the number of passes."""
    terms = np.random.default_rng(0).random((2, 100_000))
    ends = interval(terms, ceiling=1.0, largest_term=1.0)
    # 0.005 is 7.7 standard errors of 0.289 / sqrt(200,000); each end is about 2.45 standard errors from the mean.
    assert 0.495 < ends.lower < 0.5 < ends.upper < 0.505


@pytest.mark.parametrize(("n", "q"), [(3, 7), (3, 200), (3, 1000)])
def test_passes_contain_every_term_once_and_every_input_equally_often(n, q):
    passes = split_passes(np.arange(n * q, dtype=float).reshape(n, q))
    assert len(passes) == min(q, 64)
    assert sorted(np.concatenate(passes)) == list(range(n * q))
    for terms in passes:
        inputs = (terms // q).astype(int)
        assert (np.diff(inputs) >= 0).all()  # a forecast averages terms at one relative position
        assert np.bincount(inputs).tolist() == [len(terms) / n] * n


@pytest.mark.parametrize("weight", [1e-3, 0.5])
def test_terms_mixed_with_the_prior_have_a_lower_bound_and_lose_little(weight):
    terms = np.array([-math.inf, -1e4, -3.0, 0.0, 2.0])
    mixed = mix_with_prior(terms, weight)
    np.testing.assert_allclose(np.exp(mixed), (1 - weight) * np.exp(terms) + weight)
    assert (mixed >= math.log(weight)).all()
    assert (mixed >= terms + math.log1p(-weight)).all()


@pytest.mark.parametrize("n", [6, 10_000])
def test_event_of_the_unseen_probability_is_missed_with_at_most_the_risk(n):
    assert unseen_probability(n, RISK) == -math.log(RISK) / n
    assert (1 - unseen_probability(n, RISK)) ** n <= RISK


def test_unseen_probability_is_at_most_one_half():
    assert unseen_probability(1, RISK) == 0.5
