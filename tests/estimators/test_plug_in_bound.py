"""The plug-in against the same in plain NumPy, a query at a time; and its errors against textbook formulas."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from layerbits.estimators.log_densities import Queries
from layerbits.estimators.plug_in_bound import JackknifeMean, exact_surprisals, plug_in
from tests.support.answers import gaussian_mixture_information

SIGMA, CLASSES = 0.7, np.array([0, 1, 0, 0, 2])


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def tensor(*shape, seed=0):
    return torch.from_numpy(random(*shape, seed=seed))


def sample(q, r, n=5, d=2):
    """Queries (n, q) about bases of their own, and r other draws: around places that differ."""
    places = tensor(n, 1, d, seed=1)
    queries = Queries.around(places + tensor(n, q, d, seed=2) / 2, SIGMA, tensor(n, q, d, seed=3))
    return queries, places + tensor(n, r, d, seed=4) / 2


def surprisal(point, base, centers, weights):
    """Of one point by a mixture, less that of its noise."""
    exponents = -np.square(point - centers).sum(-1) / (2 * SIGMA**2)
    return -np.square(point - base).sum() / (2 * SIGMA**2) - logsumexp(exponents, b=weights)


def brute_force(queries, draws, left_out=None):
    """Surprisals (n, q) of each kind by draws and bases; without draws and bases of one input that are left out."""
    points, bases, draws = (one.numpy() for one in (queries.points, queries.bases, draws))
    members = {
        "by_input": lambda x: [x],
        "by_class": lambda x: np.flatnonzero(CLASSES[x] == CLASSES),
        "marginal": lambda x: range(len(draws)),
    }
    groups = [np.concatenate(both) for both in zip(draws, bases, strict=True)]
    if left_out:
        groups[left_out[0]] = np.delete(groups[left_out[0]], left_out[1], axis=0)
    found = {}
    for kind, of in members.items():
        found[kind] = np.zeros(queries.shape)
        for x, j in np.ndindex(queries.shape):
            centers = np.concatenate([groups[one] for one in of(x)])
            weights = np.concatenate([np.full(len(groups[one]), 1 / len(groups[one]) / len(of(x))) for one in of(x)])
            found[kind][x, j] = surprisal(points[x, j], bases[x, j], centers, weights)
    return found


@pytest.mark.parametrize(("q", "r"), [(1, 1), (2, 5), (3, 3), (4, 6), (10, 13)])
def test_plug_in_is_the_mean_surprisal_by_all_draws(q, r):
    """Rounding of sums of at most 5 * 23 terms and of exponents of some tens: below 1e-13."""
    queries, draws = sample(q, r)
    entropies, _ = plug_in(queries, draws, CLASSES, SIGMA)
    for kind, truth in brute_force(queries, draws).items():
        assert getattr(entropies, kind).value == pytest.approx(truth.mean(), abs=1e-12)


@pytest.mark.parametrize(("q", "r"), [(3, 3), (4, 6), (10, 13)])
def test_changes_are_those_of_draws_left_out_with_their_queries(q, r):
    queries, draws = sample(q, r)
    entropies, _ = plug_in(queries, draws, CLASSES, SIGMA)
    parts = min(q, 8)
    whole = brute_force(queries, draws)
    for x, part in np.ndindex(2, parts):  # two inputs tell as much as five
        gone = [np.arange(count)[part * count // parts : (part + 1) * count // parts] for count in (r, q)]
        rest = brute_force(queries, draws, (x, np.append(gone[0], r + gone[1])))
        asked = np.delete(np.arange(q), gone[1])
        for kind, truth in rest.items():
            change = truth[x, asked].mean() - whole[kind][x].mean()
            assert getattr(entropies, kind).changes[0][x, part] == pytest.approx(change, abs=1e-12)


def test_parts_are_eight_at_the_most():
    entropies, _ = plug_in(*sample(20, 40), None, SIGMA)
    assert entropies.by_input.changes[0].shape == (5, 8)


def test_fresh_surprisals_are_by_the_other_draws_alone():
    queries, draws = sample(4, 6)
    _, fresh = plug_in(queries, draws, CLASSES, SIGMA)
    points, bases, draws = (one.numpy() for one in (queries.points, queries.bases, draws))
    for x, j in np.ndindex(queries.shape):
        same = draws[CLASSES[x] == CLASSES].reshape(-1, 2)
        for kind, centers in (("by_input", draws[x]), ("by_class", same), ("marginal", draws.reshape(-1, 2))):
            weights = np.full(len(centers), 1 / len(centers))
            truth = surprisal(points[x, j], bases[x, j], centers, weights)
            assert getattr(fresh, kind)[x, j] == pytest.approx(truth, abs=1e-12)


def test_exact_surprisals_are_by_the_centers():
    """Their mean differences are the information of the mixture, by Monte Carlo of its own: within 5 errors."""
    centers = tensor(6, 1, 2)
    classes = np.arange(6) % 2
    queries = Queries.around(centers.expand(-1, 4000, -1), SIGMA, tensor(6, 4000, 2, seed=1))
    found = exact_surprisals(queries, centers, classes, SIGMA)
    assert (found.by_input == 0).all()
    for quantity, labels in (("I(X;T)", None), ("I(T;Y)", classes)):
        terms = found.terms(quantity)
        truth, error = gaussian_mixture_information(
            centers[:, 0].numpy(), SIGMA**2 * np.eye(2), 50_000, seed=2, classes=labels
        )
        assert abs(terms.mean() - truth) <= 5 * math.hypot(error, terms.std() / math.sqrt(terms.size))


@pytest.mark.parametrize("terms", [random(5, 4), random(3, 2), random(50, 9) + random(50, 1)])
def test_error_of_independent_terms_is_that_of_their_mean_given_the_inputs(terms):
    n, q = terms.shape
    mean = JackknifeMean.of_terms(terms)
    assert mean.value == pytest.approx(terms.mean())
    assert mean.standard_error == pytest.approx(math.sqrt(terms.var(axis=1, ddof=1).sum() / q) / n)
    assert mean.bias == pytest.approx(0, abs=1e-12)


def test_error_of_single_terms_is_that_over_the_inputs():
    terms = random(20, 1)
    assert JackknifeMean.of_terms(terms).standard_error == pytest.approx(stats.sem(terms[:, 0]))


def test_margin_of_a_single_value_is_infinite():
    assert JackknifeMean.of_terms(np.ones((1, 1))).margin(0.025) == math.inf


def test_margin_is_students():
    """Of one input the formula of Welch and Satterthwaite has nothing to put together."""
    terms = random(1, 12)
    assert JackknifeMean.of_terms(terms).margin(0.025) == pytest.approx(stats.t.ppf(0.975, 11) * stats.sem(terms[0]))


def test_difference_on_one_sample_has_the_error_of_differences():
    one, other = random(6, 5), random(6, 5, seed=1)
    same = JackknifeMean.of_terms(one).minus(JackknifeMean.of_terms(other), same_sample=True)
    truth = JackknifeMean.of_terms(one - other)
    assert (same.value, same.standard_error) == pytest.approx((truth.value, truth.standard_error))


def test_difference_on_two_samples_adds_their_variances():
    one, other = JackknifeMean.of_terms(random(6, 5)), JackknifeMean.of_terms(random(6, 5, seed=1))
    both = one.minus(other, same_sample=False)
    assert both.standard_error == pytest.approx(math.hypot(one.standard_error, other.standard_error))


def test_bias_of_the_jackknife_is_that_of_the_variance():
    """The textbook case: leaving one of 7 out of a biased variance, the jackknife finds its bias s^2 / 7 exactly."""
    values = random(7)
    left_out = np.array([np.delete(values, place).var() for place in range(7)])
    mean = JackknifeMean(values.var(), (left_out[None] - values.var(),))
    assert mean.value - mean.bias == pytest.approx(values.var(ddof=1))
