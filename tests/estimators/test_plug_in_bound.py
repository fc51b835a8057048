"""The plug-in bound, compared with the same sums in plain NumPy, one query at a time."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from layerbits.estimators.classes import Classes
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.plug_in_bound import entropy_lower_end, information_upper_end, plug_in, unseen_loss
from layerbits.statistics import QUANTITIES, ByCondition, Condition, JackknifeMean
from tests.support.random_arrays import normal_tensor

SIGMA, NUMBERS = 0.7, np.array([0, 1, 0, 0, 2])
CLASSES = Classes(NUMBERS, labelled=True)
MEMBERS = ByCondition(
    given_input=[np.array([x]) for x in range(5)],
    given_class=[np.flatnonzero(number == NUMBERS) for number in NUMBERS],
    marginal=[np.arange(5)] * 5,
)


def sample(q, r):
    """Return queries (5, q) and draws without queries (5, r, 2)."""
    means = normal_tensor(5, 1, 2, seed=1)
    queries = Queries.around(means + normal_tensor(5, q, 2, seed=2) / 2, SIGMA, normal_tensor(5, q, 2, seed=3))
    return queries, means + normal_tensor(5, r, 2, seed=4) / 2


def log_density(point, base, centers, weights):
    """Return the log density of a mixture at a point, relative to that of the point's noise."""
    exponents = -np.square(point - centers).sum(-1) / (2 * SIGMA**2)
    return logsumexp(exponents, b=weights) + np.square(point - base).sum() / (2 * SIGMA**2)


def brute_force(queries, components):
    """Return log densities (5, q) under every condition; `components` holds the centers (k, 2) of each input."""

    def log_densities(members):
        values = np.zeros(queries.shape)
        for x, j in np.ndindex(queries.shape):
            weights = [np.full(len(components[i]), 1 / len(components[i]) / len(members[x])) for i in members[x]]
            centers = np.concatenate([components[i] for i in members[x]])
            point, base = queries.points[x, j].numpy(), queries.bases[x, j].numpy()
            values[x, j] = log_density(point, base, centers, np.concatenate(weights))
        return values

    return MEMBERS.map(log_densities)


def all_draws(queries, draws):
    """Return the draws with and without queries of each input, (r + q, 2)."""
    return [np.concatenate(pair) for pair in zip(draws.numpy(), queries.bases.numpy(), strict=True)]


@pytest.mark.parametrize(("q", "r"), [(1, 1), (2, 5), (3, 3), (10, 13)])
def test_entropies_are_minus_the_mean_log_densities_of_the_mixture_of_all_draws(q, r):
    """Sums of at most 5 * 23 terms and exponents of some tens round by less than 1e-13."""
    queries, draws = sample(q, r)
    entropies = plug_in(queries, draws, CLASSES).entropies
    truth = brute_force(queries, all_draws(queries, draws))
    for condition in Condition:
        assert entropies[condition].value == pytest.approx(-truth[condition].mean(), abs=1e-12)


@pytest.mark.parametrize(("q", "r"), [(3, 3), (10, 13)])
def test_jackknife_leaves_out_draws_with_their_queries(q, r):
    queries, draws = sample(q, r)
    entropies = plug_in(queries, draws, CLASSES).entropies
    parts = min(q, 8)
    components = all_draws(queries, draws)
    complete = brute_force(queries, components)
    for x, part in np.ndindex(2, parts):  # the other inputs are equivalent
        omitted = [np.arange(count)[part * count // parts : (part + 1) * count // parts] for count in (r, q)]
        kept_components = np.delete(components[x], np.append(omitted[0], r + omitted[1]), axis=0)
        remaining = brute_force(queries, [*components[:x], kept_components, *components[x + 1 :]])
        kept_queries = np.delete(np.arange(q), omitted[1])
        for condition in Condition:
            change = complete[condition][x].mean() - remaining[condition][x, kept_queries].mean()
            assert entropies[condition].changes[0][x, part] == pytest.approx(change, abs=1e-12)


def test_draws_are_cut_into_at_most_eight_parts():
    entropies = plug_in(*sample(20, 40), Classes.of(None, 5)).entropies
    assert entropies.given_input.changes[0].shape == (5, 8)


def test_mixture_is_made_of_the_draws_without_queries():
    queries, draws = sample(4, 6)
    mixture, truth = plug_in(queries, draws, CLASSES).mixture, brute_force(queries, draws.numpy())
    for condition in Condition:
        np.testing.assert_allclose(mixture[condition], truth[condition], atol=1e-12)


def test_information_is_the_difference_of_entropies_of_one_sample():
    bounds = plug_in(*sample(4, 6), CLASSES)
    for quantity in QUANTITIES:
        minuend = bounds.entropies[quantity.minuend]
        if quantity.subtrahend is not None:
            minuend = minuend.minus(bounds.entropies[quantity.subtrahend], same_sample=True)
        assert bounds.bound(quantity).value == minuend.value
        assert bounds.bound(quantity).standard_error == minuend.standard_error


def test_errors_of_separate_samples_are_independent():
    first, second = plug_in(*sample(4, 6), CLASSES), plug_in(*sample(4, 8), CLASSES)
    combined = first.with_conditionals_of(second)
    information = combined.bound(QUANTITIES[0])
    entropies = first.entropies.marginal, second.entropies.given_input
    assert information.value == entropies[0].value - entropies[1].value
    assert information.standard_error == pytest.approx(np.hypot(*(entropy.standard_error for entropy in entropies)))
    # I(X;T|Y) comes from the second sample alone.
    assert combined.bound(QUANTITIES[4]).standard_error == second.bound(QUANTITIES[4]).standard_error


def test_upper_end_includes_events_that_no_query_has():
    """Events of a mean probability of -log(0.05) / 100 are missed by 100 queries with a risk of 0.05.

    Each carries log 8 nats; 25 queries of an input miss events of its own of probability -log(0.05) / 25.
    """
    bound = JackknifeMean(0.5, (np.zeros((10, 4)),))
    p = -np.log(0.05)
    expected = 0.5 + p / 100 * (np.log(8) + p / 25)
    assert information_upper_end(bound, np.log(8), (4, 25), 0.05) == pytest.approx(expected)


@pytest.mark.parametrize("affected", [1, 2])
def test_upper_end_covers_events_at_inputs_about_which_the_queries_tell_least(affected):
    """20 inputs, of which two have the signal 0 and the others lie far apart: I(X;T) = 18/20 log 20 + 2/20 log 10.

    An event moves the signals of one or both of the two inputs to places of their own. 16 queries of each input miss it
    with probability 0.025 if its probabilities are those here.
    """
    signals = 100 * np.maximum(np.arange(20) - 1.0, 0)
    draws = torch.from_numpy(signals)[:, None, None].repeat(1, 64, 1)
    bases = draws[:, :16]
    queries = Queries.around(bases, 1.0, normal_tensor(20, 16, 1))
    bound = plug_in(queries, draws[:, 16:], Classes.of(None, 20)).bound(QUANTITIES[0])
    event = 1 - 0.025 ** (1 / 16 / affected)
    masses = np.zeros((20, 40))
    masses[np.arange(20), np.maximum(np.arange(20), 1)] = 1
    masses[:affected, 1] = 1 - event
    masses[np.arange(affected), 20 + np.arange(affected)] = event
    truth = np.sum(masses * np.log(np.where(masses > 0, masses, 1) / np.maximum(masses.mean(0), 1e-300))) / 20
    assert truth <= information_upper_end(bound, np.log(20), (20, 16), 0.025) <= truth + 0.05


@pytest.mark.parametrize("risk", [1e-6, 0.025, 0.4])
@pytest.mark.parametrize("seen", [0, 1, 2, 5, 30])
def test_upper_end_is_at_least_the_exact_limit_of_a_rare_probability(seen, risk):
    """The information is the probability of an event that carries 1 nat; Student's margin exceeds the normal one."""
    terms = np.zeros((1, 2000))
    terms[0, :seen] = 1
    exact = stats.beta.isf(risk, seen + 1, 2000 - seen)
    assert information_upper_end(JackknifeMean.of_terms(terms), 1.0, (1, 2000), risk) >= exact


def test_few_queries_at_a_small_risk_show_nothing():
    """4 queries miss an event of probability 0.9 with probability 1e-4: the interval reaches from 0 to the ceiling."""
    bound = JackknifeMean(0.5, (np.zeros((10, 4)),))
    assert information_upper_end(bound, np.log(8), (2, 2), 1e-5) > np.log(8)
    assert entropy_lower_end(bound, 8, (2, 2), 1e-5) == 0


def test_lower_end_of_an_entropy_includes_events_that_no_query_has():
    """Student's bound takes half of the risk, and events of probability p take p (log 8 + 100 p + log 1/p) nats."""
    terms = np.array([[1.0, 2.0, 4.0]])
    student = terms.mean() - stats.t.isf(0.025, 2) * stats.sem(terms[0])
    small = JackknifeMean(2.0, (np.zeros((10, 4)),))
    p = -np.log(0.025) / 1000
    expected = 2.0 - p * (np.log(8) + 100 * p - np.log(p))
    assert entropy_lower_end(small, 8, (100, 10), 0.05) == pytest.approx(expected)
    many = JackknifeMean.of_terms(terms + 10)
    assert entropy_lower_end(many, 8, (1, 10**9), 0.05) == pytest.approx(student + 10, abs=1e-6)


def test_lower_end_of_an_entropy_is_at_least_that_of_the_noise():
    assert entropy_lower_end(JackknifeMean.of_terms(np.array([[1.0, 2.0, 4.0]])), 8, (5, 2), 0.05) == 0


@pytest.mark.parametrize("probability", [0.01, 0.1, 0.4])
def test_unseen_event_takes_at_most_the_allowance_whatever_the_density(probability):
    """E[log q(Z) - log N(Z; 0, 1)] over an event |Z| > c is largest, p log 1/p, for q = N(z; 0, 1) given the event."""
    z = np.linspace(stats.norm.isf(probability / 2), 12, 100_001)
    log_normal = stats.norm.logpdf(z)
    log_densities = (log_normal - np.log(probability), stats.t(2).logpdf(z), stats.norm(scale=3).logpdf(z))
    losses = [2 * np.trapezoid(np.exp(log_normal) * (log_q - log_normal), z) for log_q in log_densities]
    assert losses[0] == pytest.approx(-probability * np.log(probability), rel=1e-6)
    assert max(losses) <= unseen_loss(1, (1, -np.log(0.05) / probability), 0.05) + 1e-6
