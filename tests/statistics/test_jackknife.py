"""Means with a jackknife error, against closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from layerbits.statistics import JackknifeMean
from tests.support.random_arrays import normal_array


def test_error_is_that_of_terms_that_are_independent_given_the_input():
    n, q = 8, 6
    terms = normal_array(n, q) + np.arange(n)[:, None]
    mean = JackknifeMean.of_terms(terms)
    assert mean.value == pytest.approx(terms.mean())
    assert mean.standard_error == pytest.approx(math.sqrt(terms.var(axis=1, ddof=1).sum() / q) / n)
    assert mean.bias == pytest.approx(0, abs=1e-12)


def test_error_of_single_terms_is_that_of_the_mean_over_inputs():
    terms = normal_array(20, 1)
    assert JackknifeMean.of_terms(terms).standard_error == pytest.approx(stats.sem(terms[:, 0]))


def test_margin_of_a_single_value_is_infinite():
    assert JackknifeMean.of_terms(np.ones((1, 1))).margin(0.025) == math.inf


def test_margin_of_one_input_is_that_of_student():
    terms = normal_array(1, 12)
    margin = JackknifeMean.of_terms(terms).margin(0.025)
    assert margin == pytest.approx(stats.t.ppf(0.975, 11) * stats.sem(terms[0]))


def test_difference_on_one_sample_has_the_error_of_differences():
    minuend, subtrahend = normal_array(6, 5), normal_array(6, 5, seed=1)
    difference = JackknifeMean.of_terms(minuend).minus(JackknifeMean.of_terms(subtrahend), same_sample=True)
    truth = JackknifeMean.of_terms(minuend - subtrahend)
    assert (difference.value, difference.standard_error) == pytest.approx((truth.value, truth.standard_error))


def test_difference_on_two_samples_adds_their_variances():
    minuend, subtrahend = (JackknifeMean.of_terms(normal_array(6, 5, seed=seed)) for seed in (0, 1))
    difference = minuend.minus(subtrahend, same_sample=False)
    assert difference.standard_error == pytest.approx(math.hypot(minuend.standard_error, subtrahend.standard_error))


def test_jackknife_finds_the_bias_of_the_variance():
    """The textbook case: leaving out each of 7 values gives exactly the bias s^2 / 7 of the variance."""
    values = normal_array(7)
    left_out = np.array([np.delete(values, i).var() for i in range(7)])
    mean = JackknifeMean(values.var(), (left_out[None] - values.var(),))
    assert mean.value - mean.bias == pytest.approx(values.var(ddof=1))
