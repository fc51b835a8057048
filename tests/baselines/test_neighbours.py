"""Neighbour estimators against their formulas by all pairs, closed forms, and exact identities."""

import math

import numpy as np
import pytest
from scipy.special import digamma, gamma, polygamma

from layerbits.baselines import kozachenko_leonenko_entropy, ksg_information

Z = 5  # a right estimator exceeds so many standard errors once in 1.7 million times; seeds are fixed


def random(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def matrix_of_distances(rows, norm):
    difference = rows[:, None] - rows[None]
    return np.sqrt((difference**2).sum(-1)) if norm == 2 else np.abs(difference).max(-1)


@pytest.mark.parametrize(("n", "d", "k"), [(5, 1, 1), (30, 3, 3), (30, 7, 5)])
def test_entropy_is_its_formula_over_all_pairs(n, d, k):
    """Some hundred roundings of numbers below 10: 1e-12."""
    rows = random(n, d)
    radii = np.sort(matrix_of_distances(rows, 2), axis=1)[:, k]
    ball = math.pi ** (d / 2) / gamma(d / 2 + 1)
    want = digamma(n) - digamma(k) + math.log(ball) + d * np.log(radii).mean()
    assert kozachenko_leonenko_entropy(rows, neighbours=k).value == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_entropy_of_a_uniform_interval_is_0(k):
    """The k rows at either end have neighbours on one side only, at up to twice the distance: 2 k log(2) / n in all.

    Terms log radius vary by psi'(k), and neighbours share radii: at most some 3 k rows are correlated.
    """
    n = 4000
    rows = np.random.default_rng(0).random((n, 1))
    allowed = Z * math.sqrt(polygamma(1, k) * 3 * k / n) + 2 * k * math.log(2) / n
    assert abs(kozachenko_leonenko_entropy(rows, neighbours=k).value) <= allowed


@pytest.mark.parametrize("d", [1, 2, 3])
def test_entropy_of_a_gaussian(d):
    """Variance d/2 of log f over n, and that of the log radii as above; some margin for the tails, where the density
    changes within a ball: a share of about (k/n)^(2/(d+2)) of the rows, which err by less than 1.
    """
    n, k = 4000, 3
    rows = 2 * random(n, d)
    truth = d / 2 * math.log(2 * math.pi * math.e * 4)
    allowed = Z * math.sqrt((d / 2 + 3 * k * polygamma(1, k)) / n) + (k / n) ** (2 / (d + 2))
    assert abs(kozachenko_leonenko_entropy(rows, neighbours=k).value - truth) <= allowed


def test_entropy_moves_with_the_unit_of_length_alone():
    rows = random(100, 4)
    want = kozachenko_leonenko_entropy(rows).value
    assert kozachenko_leonenko_entropy(8 * rows + 1).value == pytest.approx(want + 4 * math.log(8), abs=1e-12)


def test_coinciding_rows_have_no_density():
    rows = np.concatenate([random(20, 2), np.ones((4, 2))])
    assert kozachenko_leonenko_entropy(rows, neighbours=3).value == -math.inf
    assert math.isfinite(kozachenko_leonenko_entropy(rows, neighbours=4).value)
    assert math.isnan(kozachenko_leonenko_entropy(np.ones((8, 1)), labels=np.arange(8) % 2).label_information)


@pytest.mark.parametrize(
    "estimate", [kozachenko_leonenko_entropy, lambda rows, **o: ksg_information(rows, inputs=rows, **o)]
)
def test_classes_far_apart_are_known_but_for_the_finite_sample(estimate):
    """With neighbours all of one's own class the estimators of I(T;Y) are digamma(2n) - digamma(n) exactly; ~ log 2."""
    cluster = random(50, 2)
    rows, labels = np.concatenate([cluster, cluster + 1000]), np.repeat([0, 1], 50)
    assert estimate(rows, labels=labels).label_information == pytest.approx(digamma(100) - digamma(50), abs=1e-9)


@pytest.mark.parametrize(("n", "d", "e", "k"), [(6, 1, 1, 1), (40, 2, 3, 3)])
def test_ksg_is_its_formula_over_all_pairs(n, d, e, k):
    activations, inputs = random(n, d), random(n, e, seed=1)
    near, far = (matrix_of_distances(rows, np.inf) for rows in (activations, inputs))
    radii = np.sort(np.maximum(near, far), axis=1)[:, k, None]
    counts = [(distances < radii).sum(axis=1) - 1 for distances in (near, far)]
    want = digamma(k) + digamma(n) - sum(digamma(count + 1) for count in counts).mean()
    assert ksg_information(activations, inputs=inputs, neighbours=k).value == pytest.approx(want, abs=1e-12)


def test_labels_are_taken_by_the_formula_of_ross_over_all_pairs():
    rows, labels, k = random(40, 2), np.arange(40) % 3, 3
    distances = matrix_of_distances(rows, np.inf)
    terms = []
    for i in range(40):
        mine = labels == labels[i]
        radius = np.sort(distances[i, mine])[k]
        terms.append(digamma(mine.sum()) + digamma((distances[i] < radius).sum()))
    want = digamma(40) + digamma(k) - np.mean(terms)
    found = ksg_information(rows, inputs=rows, labels=labels, neighbours=k)
    assert found.label_information == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_ksg_of_correlated_gaussians(correlation):
    """The information of a pair varies by correlation^2; counts add at most 2 psi'(k) 3 k. Its bias is below 0.01
    where n is some thousands (Kraskov et al., figure 2).
    """
    n, k = 3000, 3
    pairs = random(n, 2)
    inputs = correlation * pairs[:, :1] + math.sqrt(1 - correlation**2) * pairs[:, 1:]
    allowed = Z * math.sqrt((correlation**2 + 2 * 3 * k * polygamma(1, k)) / n) + 0.01
    found = ksg_information(pairs[:, :1], inputs=inputs, neighbours=k).value
    assert abs(found + math.log(1 - correlation**2) / 2) <= allowed


def test_ksg_of_a_function_only_grows_with_the_sample():
    values = random(4000, 1)
    few, many = (ksg_information(np.tanh(values[:n]), inputs=values[:n]).value for n in (250, 4000))
    # Every marginal count is nearly k: psi(n) - psi(k) and less, so log 16 apart, within some hundredths.
    assert many - few == pytest.approx(math.log(16), abs=0.2)
