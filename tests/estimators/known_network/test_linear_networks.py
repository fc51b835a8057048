"""Linear networks: the linear model is exact, so every weight is p(t|x) and both bounds equal the truth at each query.

T given x is N(m_x, I + B B'), with B the product of the weights. Signals and deviations here are below 100, and the
condition number of C is below 1e4, so that float64 leaves log densities within 1e-8.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, known_network_estimates
from layerbits.estimators.known_network.density_estimates import (
    DensityEstimates,
    Effort,
    own_tilted_estimates,
    scores_of,
)
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.terms import confusions, decoder_scores, decoder_terms
from layerbits.estimators.known_network.weights import WeightSampler
from layerbits.statistics import QUANTITIES
from tests.support.answers import gaussian_mixture_information
from tests.support.signal_models import dense_signals

ROUNDING = 1e-8
WIDTHS = (3, 6, 5, 4)
NUMBERS = np.arange(12) % 3


def linear_model(n_inputs=12):
    return dense_signals(WIDTHS, n_inputs, sigma=0.8, activation="identity")


def true_log_densities(model, points):
    """Return log N(t; m_x, C), (q, N), from the products of the weights."""
    means, gains, product = model.inputs, [], torch.eye(model.n_units, dtype=torch.float64)
    for weight in model.weights:
        means = means @ weight.T
    for weight in model.weights[:0:-1]:
        product = product @ weight
        gains.append(product)
    covariance = torch.eye(model.n_units, dtype=torch.float64) + sum(gain @ gain.T for gain in gains)
    normal = [torch.distributions.MultivariateNormal(mean / model.sigma, covariance).log_prob(points) for mean in means]
    return torch.stack(normal, dim=1) + model.n_units / 2 * math.log(2 * math.pi)


def estimates_of(model, effort, n_queries=50):
    proposals = Proposals(model, 0, 2**26)
    queries = KnownQueries.sample(model, [n_queries], 1)
    return queries, DensityEstimates.of(proposals, queries, scores_of(proposals, queries), [effort], 2)[0]


@pytest.mark.parametrize("effort", [Effort(1, 1, 0), Effort(12, 1, 0), Effort(40, 7, 0), Effort(40, 30, 0, 0.2)])
def test_all_estimates_equal_the_density_for_any_number_of_samples(effort):
    model = linear_model()
    queries, estimates = estimates_of(model, effort)
    truth = true_log_densities(model, queries.points)
    own = truth[torch.arange(len(truth)), queries.rows]
    assert (estimates.counts > 0).all()
    torch.testing.assert_close(estimates.scores, truth, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(estimates.fresh, truth, rtol=0, atol=ROUNDING)
    for values in (estimates.tilted, estimates.tilted_more, estimates.fresh_more):
        torch.testing.assert_close(values, own, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("gain", [1e4, 9e4])
def test_weights_are_exact_behind_strong_noise(gain):
    """Rounding by 2e-16 of the condition number gain^2 in ten units leaves some 2e-5; unrefined products leave .5."""
    model = dense_signals((3, 10, 10), 12, sigma=0.8, activation="identity")
    left, _, right = torch.linalg.svd(model.weights[1])
    values = torch.cat([torch.tensor([gain]), torch.linspace(0, 1, 9)]).double()
    model = dataclasses.replace(model, weights=[model.weights[0], left @ values.diag() @ right])
    queries, estimates = estimates_of(model, Effort(12, 7, 0))
    truth = true_log_densities(model, queries.points)
    own = truth[torch.arange(len(truth)), queries.rows]
    torch.testing.assert_close(estimates.fresh, truth, rtol=0, atol=1e-4)
    torch.testing.assert_close(estimates.tilted, own, rtol=0, atol=1e-4)


@pytest.mark.parametrize("numbers", [NUMBERS, np.zeros(12, int)], ids=["three classes", "one class"])
@pytest.mark.parametrize("quantity", [quantity for quantity in QUANTITIES if not quantity.is_entropy], ids=str)
def test_both_bounds_equal_the_information_of_each_query(quantity, numbers):
    model, classes = linear_model(), Classes(numbers, labelled=True)
    queries, estimates = estimates_of(model, Effort(40, 7, 0))
    posterior = torch.softmax(true_log_densities(model, queries.points), dim=1).numpy()
    own = posterior[np.arange(len(posterior)), queries.rows]
    of_class = np.where(numbers == numbers[queries.rows][:, None], posterior, 0).sum(1)
    size = np.bincount(numbers)[numbers[queries.rows]]
    truth = {
        "I(X;T)": np.log(12 * own),
        "I(T;Y)": np.log(of_class * 12 / size),
        "I(X;T|Y)": np.log(size * own / of_class),
    }[quantity.name]
    log_prior = {"I(X;T)": math.log(12), "I(T;Y)": np.log(12 / size), "I(X;T|Y)": np.log(size)}[quantity.name]
    upper = log_prior - confusions(quantity, estimates, queries.rows, classes)
    np.testing.assert_allclose(upper, truth, rtol=0, atol=ROUNDING)
    for share in (0.0, 0.5, 1.0):
        lower = decoder_terms(quantity, decoder_scores(estimates, share, 1.0), queries.rows, classes)
        np.testing.assert_allclose(lower, truth, rtol=0, atol=ROUNDING)


def test_estimates_with_the_prior_in_the_proposal_converge_and_are_above_the_density():
    """Weights relative to p(t|x) lie between 0 and 1 / 0.7: 2000 samples leave an error below 5 / 0.7 / sqrt(2000).

    E log u is above log p(t|x): with 2 samples by more than 5 standard errors of 1000 queries.
    """
    model = linear_model()
    proposals, queries = Proposals(model, 0, 2**26), KnownQueries.sample(model, [20], 1)
    (models,) = proposals.batches()
    order = WeightSampler(proposals, 3, 0.3).of_noises(models, queries)[0]
    truth = true_log_densities(model, queries.points)[torch.arange(20), queries.rows][order]
    many = own_tilted_estimates(models, WeightSampler(proposals, 3, 0.3), queries, 2000)
    assert (many.exp() / truth.exp() - 1).abs().max() < 0.16
    assert (many - truth).abs().max() > ROUNDING
    queries = KnownQueries.sample(model, [1000], 4)
    sampler = WeightSampler(proposals, 5, 0.3)
    order = sampler.of_noises(models, queries)[0]
    few = own_tilted_estimates(models, sampler, queries, 2)
    assert (few <= -math.log(0.3)).all()
    excess = few - true_log_densities(model, queries.points)[torch.arange(1000), queries.rows][order]
    assert excess.mean() > 5 * excess.std() / math.sqrt(1000)


def test_interval_contains_the_information_of_a_linear_layer():
    model = linear_model()
    truth, error = gaussian_mixture_information(*means_and_covariance(model), 100_000, 1)
    classes = Classes(NUMBERS, labelled=True)
    estimates = known_network_estimates(model, classes, 1e-4, 0, KnownNetworkSettings(queries=2400, samples=48))
    interval = estimates["I(X;T)"].interval
    assert interval.lower - 5 * error <= truth <= interval.upper + 5 * error
    assert interval.upper - interval.lower < 0.5
    sum_of_parts = [estimates[name].interval for name in ("I(T;Y)", "I(X;T|Y)")]
    assert sum(part.lower for part in sum_of_parts) <= truth + 5 * error
    assert sum(part.upper for part in sum_of_parts) >= truth - 5 * error
    determinant = np.linalg.slogdet(means_and_covariance(model)[1])[1] / 2
    assert estimates["h(T|X)"].interval.lower <= determinant <= estimates["h(T|X)"].interval.upper
    assert estimates["h(T)"].interval.lower <= determinant + truth <= estimates["h(T)"].interval.upper


def means_and_covariance(model):
    """Return the means (N, d) and the covariance of T, by its definition as a sum over the noises of the layers."""
    means, covariance = model.inputs, torch.zeros(WIDTHS[0], WIDTHS[0], dtype=torch.float64)
    for weight in model.weights:
        means = means @ weight.T
        covariance = weight @ covariance @ weight.T + model.sigma**2 * torch.eye(len(weight), dtype=torch.float64)
    return means.numpy() / model.sigma, covariance.numpy() / model.sigma**2
