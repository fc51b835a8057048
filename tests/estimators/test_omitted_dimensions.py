"""The cost of dimensions that are left out behind noise: margins for information, terms of a bet for entropies."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from layerbits.estimators.omitted_dimensions import OmittedDimensions
from layerbits.statistics import split_passes, upper_mean_bound
from tests.support.random_arrays import normal_array

WEIGHT = 1e-3


def excess_entropy(distances, probabilities):
    """Return h(S + Z) - h(Z) by quadrature, for a scalar S with these values and Z of variance 1."""

    def surprisal(t):
        density = float(np.dot(probabilities, stats.norm.pdf(t - distances)))
        return -density * math.log(density) if density > 0 else 0.0

    points = [*distances, *(distances + 1)]
    entropy, _ = integrate.quad(surprisal, min(distances) - 12, max(distances) + 12, limit=2000, points=points)
    return entropy - 0.5 * math.log(2 * math.pi * math.e)


@pytest.mark.parametrize("probability", [1e-4, 0.01, 0.3])
@pytest.mark.parametrize("distance", [0.3, 5.0, 200.0])
def test_mean_of_the_terms_is_at_least_the_entropy_of_the_omitted_dimension(distance, probability):
    squares = np.array([0.0, distance**2])
    probabilities = np.array([1 - probability, probability])
    terms = OmittedDimensions(squares[None], 1, largest_square=1e5).terms(WEIGHT)[0]
    # Quadrature has an absolute error of 1.5e-8.
    assert probabilities @ terms >= excess_entropy(np.sqrt(squares), probabilities) - 1e-7


def test_terms_grow_like_a_logarithm_and_have_the_stated_largest_value():
    squares = np.array([[0.0, 1.0, 1e2, 1e4, 1e6]])
    omitted = OmittedDimensions(squares, 3, largest_square=1e6)
    terms, largest = omitted.terms(WEIGHT)[0], omitted.largest_term(WEIGHT)
    assert (np.diff(terms) > 0).all()
    # At the largest square the share of the wide density is 1, so the term is the largest one.
    assert terms[-1] == pytest.approx(largest)
    assert largest == pytest.approx(1.5 * math.log1p(1e6 / 3) - math.log(WEIGHT))
    assert terms[:2] == pytest.approx(squares[0, :2] / 2, abs=2 * WEIGHT)


@pytest.mark.parametrize(
    ("square_of_final", "largest_distance"),
    [(0.0, 50), (49.9**2, 50), (60.0**2, 10 * (60 + 2))],
    ids=["the pilot decides", "the assumption holds", "the assumption is false"],
)
def test_without_a_known_bound_signals_are_assumed_to_lie_ten_times_as_far_out_as_those_of_the_pilot(
    square_of_final, largest_distance
):
    omitted = OmittedDimensions(np.array([[9.0, square_of_final]]), 4).with_assumed_range(slice(1), slice(1, 2))
    expected = 2 * math.log1p(largest_distance**2 / 4) - math.log(WEIGHT)
    assert omitted.largest_term(WEIGHT) == pytest.approx(expected)


def test_a_known_bound_is_not_replaced_by_an_assumption():
    omitted = OmittedDimensions(np.array([[9.0]]), 4, largest_square=7.0).with_assumed_range(slice(1), slice(1, 1))
    assert omitted.largest_square == 7.0


def test_margin_is_that_of_a_student_bound():
    squares = 2 * normal_array(50, 8) ** 2
    variance = squares.var(axis=1, ddof=1) / 4 / 8 / 50**2
    freedom = 7 * variance.sum() ** 2 / np.square(variance).sum()
    expected = stats.t.ppf(0.975, freedom) * math.sqrt(variance.sum())
    assert OmittedDimensions(squares, 3).margin(0.025) == pytest.approx(expected)
    assert OmittedDimensions(np.ones((5, 4)), 3).margin(0.025) == 0


def test_mean_without_a_margin_is_too_small_for_half_of_the_seeds_and_the_margin_mends_it():
    """|S_2|^2 is chi-square. At a risk of 5 %, more than 27 misses of 300 have a probability of 1e-3."""
    squares = np.random.default_rng(0).chisquare(1, size=(300, 40, 4))
    means = squares.mean((1, 2)) / 2
    margins = [OmittedDimensions(values, 1).margin(0.05) for values in squares]
    assert (means < 0.5).mean() > 0.4
    assert (means + margins < 0.5).sum() <= 27


def test_bet_on_the_terms_holds_for_a_rare_unit_that_few_samples_show():
    """A unit of distance 30 in 1 of 2000 passes: in most of 200 samples of 400 queries no query shows it.

    The mean of the terms is known. At a risk of 5 %, more than 20 misses of 200 have a probability below 1e-3. The
    plain mean of |S_2|^2 / 2 of a sample is below the entropy in the samples without the unit.
    """
    probability, distance, n = 1 / 2000, 30.0, 400
    generator = np.random.default_rng(1)
    truth = excess_entropy(np.array([0.0, distance]), np.array([1 - probability, probability]))
    misses, plain_misses = 0, 0
    for _ in range(200):
        squares = distance**2 * (generator.random((n // 4, 4)) < probability)
        omitted = OmittedDimensions(squares, 1, largest_square=(2 * distance) ** 2)
        limit = omitted.largest_term(WEIGHT)
        passes = [np.array([0.0, limit]), *split_passes(omitted.terms(WEIGHT))]
        misses += upper_mean_bound(passes, lower_limit=0.0, upper_limit=limit, risk=0.05) < truth
        plain_misses += squares.mean() / 2 < truth
    assert misses <= 20
    assert plain_misses > 100
