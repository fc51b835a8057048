"""Neighbour estimators against their formulas over all pairs, closed forms and exact identities."""

import math

import numpy as np
import pytest
from scipy.special import digamma, gamma, polygamma

from layerbits.baselines import kozachenko_leonenko_entropy, ksg_information
from tests.support.random_arrays import normal_array

STANDARD_ERRORS = 5  # a correct estimator errs by more standard errors once in 1.7 million runs; seeds are fixed


def distance_matrix(rows, norm):
    difference = rows[:, None] - rows[None]
    return np.sqrt((difference**2).sum(-1)) if norm == 2 else np.abs(difference).max(-1)


@pytest.mark.parametrize(("n", "d", "k"), [(5, 1, 1), (30, 3, 3), (30, 7, 5)])
def test_entropy_agrees_with_its_formula_over_all_pairs(n, d, k):
    """The tolerance 1e-12 covers some hundred roundings of numbers below 10."""
    rows = normal_array(n, d)
    radii = np.sort(distance_matrix(rows, 2), axis=1)[:, k]
    ball = math.pi ** (d / 2) / gamma(d / 2 + 1)
    expected = digamma(n) - digamma(k) + math.log(ball) + d * np.log(radii).mean()
    assert kozachenko_leonenko_entropy(rows, neighbours=k).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_entropy_of_a_uniform_interval_is_0(k):
    """The tolerance is a bias and 5 standard errors.

    The k rows at either end have neighbours on one side only, at up to twice the distance, a bias of 2 k log(2) / n.
    The terms log(radius) have variance psi'(k), and about 3 k neighbouring rows at most are correlated.
    """
    n = 4000
    rows = np.random.default_rng(0).random((n, 1))
    tolerance = STANDARD_ERRORS * math.sqrt(polygamma(1, k) * 3 * k / n) + 2 * k * math.log(2) / n
    assert abs(kozachenko_leonenko_entropy(rows, neighbours=k).value) <= tolerance


@pytest.mark.parametrize("d", [1, 2, 3])
def test_entropy_of_a_gaussian(d):
    """The tolerance is 5 standard errors, from the variances d/2 of log f and psi'(k) of the log radii, and a
    bias: in the tails, about a share (k/n)^(2/(d+2)) of the rows, the density changes within a ball; these rows err by
    less than 1.
    """
    n, k = 4000, 3
    rows = 2 * normal_array(n, d)
    truth = d / 2 * math.log(2 * math.pi * math.e * 4)
    tolerance = STANDARD_ERRORS * math.sqrt((d / 2 + 3 * k * polygamma(1, k)) / n) + (k / n) ** (2 / (d + 2))
    assert abs(kozachenko_leonenko_entropy(rows, neighbours=k).value - truth) <= tolerance


def test_scaling_adds_d_log_scale_to_the_entropy():
    rows = normal_array(100, 4)
    expected = kozachenko_leonenko_entropy(rows).value
    assert kozachenko_leonenko_entropy(8 * rows + 1).value == pytest.approx(expected + 4 * math.log(8), abs=1e-12)


def test_entropy_of_coinciding_rows_is_minus_infinity():
    rows = np.concatenate([normal_array(20, 2), np.ones((4, 2))])
    assert kozachenko_leonenko_entropy(rows, neighbours=3).value == -math.inf
    assert math.isfinite(kozachenko_leonenko_entropy(rows, neighbours=4).value)
    assert math.isnan(kozachenko_leonenko_entropy(np.ones((8, 1)), labels=np.arange(8) % 2).label_information)


@pytest.mark.parametrize(
    "estimate", [kozachenko_leonenko_entropy, lambda rows, **o: ksg_information(rows, inputs=rows, **o)]
)
def test_label_information_of_separate_classes_is_exact(estimate):
    """If all neighbours of a row are of its class, the estimate of I(T;Y) is exactly digamma(2n) - digamma(n)."""
    cluster = normal_array(50, 2)
    rows, labels = np.concatenate([cluster, cluster + 1000]), np.repeat([0, 1], 50)
    assert estimate(rows, labels=labels).label_information == pytest.approx(digamma(100) - digamma(50), abs=1e-9)


@pytest.mark.parametrize(("n", "d", "e", "k"), [(6, 1, 1, 1), (40, 2, 3, 3)])
def test_ksg_agrees_with_its_formula_over_all_pairs(n, d, e, k):
    activations, inputs = normal_array(n, d), normal_array(n, e, seed=1)
    activation_distances, input_distances = (distance_matrix(rows, np.inf) for rows in (activations, inputs))
    radii = np.sort(np.maximum(activation_distances, input_distances), axis=1)[:, k, None]
    counts = [(distances < radii).sum(axis=1) - 1 for distances in (activation_distances, input_distances)]
    expected = digamma(k) + digamma(n) - sum(digamma(count + 1) for count in counts).mean()
    assert ksg_information(activations, inputs=inputs, neighbours=k).value == pytest.approx(expected, abs=1e-12)


def test_label_information_agrees_with_the_formula_of_ross_over_all_pairs():
    rows, labels, k = normal_array(40, 2), np.arange(40) % 3, 3
    distances = distance_matrix(rows, np.inf)
    terms = []
    for i in range(40):
        same_class = labels == labels[i]
        radius = np.sort(distances[i, same_class])[k]
        terms.append(digamma(same_class.sum()) + digamma((distances[i] < radius).sum()))
    expected = digamma(40) + digamma(k) - np.mean(terms)
    estimate = ksg_information(rows, inputs=rows, labels=labels, neighbours=k)
    assert estimate.label_information == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_ksg_of_correlated_gaussians(correlation):
    """The information density of a pair has variance correlation^2, and the counts add at most 2 psi'(k) 3 k. The bias
    is below 0.01 for n of some thousands (Kraskov et al., figure 2).
    """
    n, k = 3000, 3
    pairs = normal_array(n, 2)
    inputs = correlation * pairs[:, :1] + math.sqrt(1 - correlation**2) * pairs[:, 1:]
    tolerance = STANDARD_ERRORS * math.sqrt((correlation**2 + 2 * 3 * k * polygamma(1, k)) / n) + 0.01
    estimate = ksg_information(pairs[:, :1], inputs=inputs, neighbours=k).value
    assert abs(estimate + math.log(1 - correlation**2) / 2) <= tolerance


def test_ksg_of_a_function_grows_with_log_n():
    values = normal_array(4000, 1)
    small_sample, large_sample = (ksg_information(np.tanh(values[:n]), inputs=values[:n]).value for n in (250, 4000))
    # Every marginal count is close to k, so the estimates are close to psi(n) - psi(k), which differ by log 16.
    assert large_sample - small_sample == pytest.approx(math.log(16), abs=0.2)
