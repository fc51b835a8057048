"""Networks whose densities are known by quadrature, or by plain averages over many noises."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, known_network_estimates
from layerbits.estimators.known_network.density_estimates import DensityEstimates, Effort, scores_of
from layerbits.estimators.known_network.linear_models import LinearModels
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.terms import confusions, decoder_scores, decoder_terms
from layerbits.statistics import QUANTITIES
from tests.support.answers import entropy, information_of_channel
from tests.support.networks import ScalarChain
from tests.support.random_arrays import normal_tensor
from tests.support.signal_models import DenseSignals, dense_signals

INFORMATION = QUANTITIES[0]
SCALAR = ScalarChain(np.linspace(-1, 1, 5), gains=(2.0, 3.0))


def scalar_model(copies=1):
    weights = [torch.full((1, 1), gain, dtype=torch.float64) for gain in SCALAR.gains]
    return DenseSignals(SCALAR.inputs(copies), weights, [torch.zeros(1).double()] * 2, "tanh", SCALAR.sigma)


def one_class(model):
    return Classes.of(None, model.n_inputs)


@pytest.mark.parametrize("copies", [1, 3])
def test_scalar_layer_has_the_information_of_quadrature(copies):
    """Copies of the inputs change neither I(X;T) nor the entropies; ends of risk 1e-4 hold in this seed."""
    model, densities = scalar_model(copies), SCALAR.densities(2)
    truth = information_of_channel(densities, SCALAR.axis)
    given_input = np.mean([entropy(density, SCALAR.axis) for density in densities])
    noise = math.log(SCALAR.sigma) + 0.5 * math.log(2 * math.pi * math.e)
    settings = KnownNetworkSettings(queries=3000, samples=64)
    estimates = known_network_estimates(model, one_class(model), 1e-4, 0, settings)
    truths = {"I(X;T)": truth, "h(T|X)": given_input - noise, "h(T)": given_input + truth - noise}
    for name, value in truths.items():
        assert estimates[name].interval.lower <= value <= estimates[name].interval.upper, name
    assert estimates["I(X;T)"].interval.half_width < 0.15
    assert estimates["I(X;T)"].decoded <= truth + 5 * estimates["I(X;T)"].decoded_error
    assert estimates["I(X;T)"].plug_in >= truth - 5 * estimates["I(X;T)"].plug_in_error


def test_scalar_layer_has_the_class_information_of_quadrature():
    """Classes are {x_0, x_3} and {x_1, x_2, x_4}."""
    numbers, densities = np.array([0, 1, 1, 0, 1]), SCALAR.densities(2)
    of_classes = np.stack([densities[numbers == number].mean(0) for number in range(2)])
    truth = information_of_channel(of_classes, SCALAR.axis, weights=np.bincount(numbers))
    total = information_of_channel(densities, SCALAR.axis)
    settings, classes = KnownNetworkSettings(queries=3000, samples=64), Classes(numbers, labelled=True)
    estimates = known_network_estimates(scalar_model(), classes, 1e-4, 0, settings)
    for name, value in {"I(T;Y)": truth, "I(X;T|Y)": total - truth}.items():
        assert estimates[name].interval.lower <= value <= estimates[name].interval.upper, name
        assert estimates[name].interval.half_width < 0.15, name


def plain_log_densities(model, points, count):
    """Return log p(t|x) (q, N) without the term -d/2 log(2 pi), by averages over noises, and their relative errors."""
    noises = normal_tensor(count, model.noise_size, seed=77)
    log_means, log_squares = [], []
    for row in range(model.n_inputs):
        signals = model.signals(torch.full((count,), row), noises)
        exponents = -0.5 * torch.cdist(points, signals).square()
        log_means.append(exponents.logsumexp(1) - math.log(count))
        log_squares.append((2 * exponents).logsumexp(1) - math.log(count))
    log_mean, log_square = torch.stack(log_means, dim=1), torch.stack(log_squares, dim=1)
    return log_mean, ((log_square - 2 * log_mean).exp() / count).sqrt()


def small_model():
    return dense_signals((2, 3, 3), 6, sigma=0.5, scale=2.0)


def estimates_of(model, n_queries, effort, proposals=None):
    proposals = proposals or Proposals(model, 0, 2**28)
    queries = KnownQueries.sample(model, [n_queries], 1)
    return queries, DensityEstimates.of(proposals, queries, scores_of(proposals, queries), [effort], 2)[0]


def test_all_estimates_converge_to_the_density():
    """Means of eight estimates of thousands of samples each, beside averages over 400,000 noises of the prior.

    Ten standard errors with seven degrees of freedom are exceeded with a probability of 2e-5; averages of the prior
    whose relative error is above 0.02 are not compared.
    """
    model = small_model()
    proposals, queries = Proposals(model, 0, 2**28), KnownQueries.sample(model, [12], 1)
    truth, prior_errors = plain_log_densities(model, queries.points, 400_000)
    scores, effort, each = scores_of(proposals, queries), Effort(20_000, 2_000, 1e-3), torch.arange(12)
    samples = [DensityEstimates.of(proposals, queries, scores, [effort], 100 + key)[0] for key in range(8)]
    is_compared = (samples[0].counts >= 1000) & (prior_errors < 0.02)
    assert is_compared.sum() >= 20
    own, own_errors = truth[each, queries.rows], prior_errors[each, queries.rows]

    def check(name, expected, errors, chosen):
        ratios = torch.stack([(getattr(estimates, name) - expected).exp() for estimates in samples])
        allowed = 10 * ratios.std(0) / math.sqrt(8) + 5 * errors
        assert ((ratios.mean(0) - 1).abs() <= allowed)[chosen].all(), name
        assert allowed[chosen].median() < 0.1, name

    check("fresh", truth, prior_errors, is_compared)
    for name in ("tilted_more", "fresh_more"):
        check(name, own, own_errors, own_errors < 0.02)


@pytest.mark.parametrize(("shared", "own"), [(1, 1), (6, 1), (60, 16)])
def test_bounds_enclose_the_information_for_few_samples(shared, own):
    """Means of both bounds at the same 2000 queries, beside the mean of log p(t|x) - log p(t) by plain averages."""
    model = small_model()
    queries, estimates = estimates_of(model, 2000, Effort(shared, own, 0))
    lower = decoder_terms(INFORMATION, decoder_scores(estimates, 1.0, 1.0), queries.rows, one_class(model))
    upper = math.log(6) - confusions(INFORMATION, estimates, queries.rows, one_class(model))
    truth, error = small_model_information()
    assert lower.mean() - 5 * standard_error(lower) <= truth + 5 * error
    assert upper.mean() + 5 * standard_error(upper) >= truth - 5 * error


@functools.cache
def small_model_information():
    """Return I(X;T) of `small_model` by 1000 queries and averages over noises of the prior, and its error.

    The logarithm of an average with relative error e has a bias of about -e^2 / 2.
    """
    model, count = small_model(), 1000
    queries = KnownQueries.sample(model, [count], 5)
    log_densities, errors = plain_log_densities(model, queries.points, 5_000)
    own = log_densities[torch.arange(count), queries.rows]
    terms = (own - log_densities.logsumexp(1) + math.log(model.n_inputs)).numpy()
    bias = errors[torch.arange(count), queries.rows].square().mean().item() / 2
    return terms.mean(), standard_error(terms) + bias


def standard_error(terms):
    return terms.std(ddof=1) / math.sqrt(len(terms))


DISTORTIONS = {
    "means": lambda models: dataclasses.replace(models, means=models.means + 1.0),
    "gains": lambda models: _with_gains(models, -models.gains),
    "no gains": lambda models: _with_gains(models, 0 * models.gains),
    "of other inputs": lambda models: dataclasses.replace(models, means=models.means.roll(1, 0)),
}


def _with_gains(models, gains):
    covariances = gains @ gains.mT + torch.diag_embed(models.variances)
    half = torch.linalg.slogdet(covariances).logabsdet / 2
    return dataclasses.replace(
        models, gains=gains, precisions=torch.linalg.inv(covariances), half_log_determinants=half
    )


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_bad_proposals_loosen_the_ends_and_never_cross_the_truth(monkeypatch, distortion):
    model = small_model()
    truth, error = small_model_information()
    settings = KnownNetworkSettings(queries=1200, pilot_queries=60, samples=24)
    good = known_network_estimates(model, one_class(model), 0.025, 0, settings)["I(X;T)"].interval
    fit = LinearModels.fit
    monkeypatch.setattr(LinearModels, "fit", lambda *arguments: DISTORTIONS[distortion](fit(*arguments)))
    bad = known_network_estimates(model, one_class(model), 0.025, 0, settings)["I(X;T)"].interval
    assert bad.lower <= truth + 5 * error
    assert bad.upper >= truth - 5 * error
    assert bad.half_width > good.half_width
