"""Linear models of low rank: densities and proposals beside plain Gaussians, and layers that take them."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, known_network_estimates, proposals
from layerbits.estimators.known_network.density_estimates import scores_of
from layerbits.estimators.known_network.linear_models import LinearModels, UnboundedGainError
from layerbits.estimators.known_network.low_rank_models import LowRankModels
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.weights import WeightSampler
from tests.estimators.known_network.test_linear_networks import (
    ROUNDING,
    linear_model,
    means_and_covariance,
    true_log_densities,
)
from tests.support.answers import gaussian_mixture_information
from tests.support.random_arrays import normal_tensor
from tests.support.signal_models import dense_signals

# Rounding errors of a few thousand operations in float64, with values below 100.
TOLERANCE = 1e-10


def fitted(rank, model=None):
    model = model or linear_model()
    return model, LowRankModels.fit(model, torch.arange(model.n_inputs), 0, rank)


def gains_of(models):
    """Return U, (b, d, r), from the projections V^-1 U / sqrt(precisions)."""
    return models.projections * models.variances[..., None] * models.precisions.sqrt()[:, None]


def covariances_of(models):
    gains = gains_of(models)
    return gains @ gains.mT + torch.diag_embed(models.variances)


@pytest.mark.parametrize("rank", [1, 3, 4])
def test_densities_are_those_of_a_normalised_gaussian(rank):
    model, models = fitted(rank)
    points = 3 * normal_tensor(7, model.n_units, seed=3)
    expected = [
        MultivariateNormal(mean, covariance).log_prob(points)
        for mean, covariance in zip(models.means, covariances_of(models), strict=True)
    ]
    log_densities = models.log_densities(points) - model.n_units / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(log_densities, torch.stack(expected), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("rank", [1, 3])
def test_ratios_and_samples_are_those_of_the_posterior_of_the_model(rank):
    """The posterior is that of W ~ N(0, I) given T = m + U Q^T W + E, by the formulas for joint Gaussians."""
    model, models = fitted(rank)
    k = model.noise_size
    gains = gains_of(models) @ models.directions.mT
    precise = torch.linalg.solve(covariances_of(models), gains)
    covariances = torch.eye(k).double() - gains.mT @ precise
    points = 3 * normal_tensor(12, 5, model.n_units, seed=3)
    means = (points - models.means[:, None]) @ precise
    noises, ratios = models.posterior_samples(points, normal_tensor(12, 5, k, seed=4), torch.zeros(()))
    prior = MultivariateNormal(torch.zeros(k).double(), torch.eye(k).double())
    posterior = MultivariateNormal(means, covariances[:, None])
    for values in (noises, normal_tensor(12, 5, k, seed=5)):
        expected = prior.log_prob(values) - posterior.log_prob(values)
        torch.testing.assert_close(models.log_ratios(points, values), expected, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(ratios, models.log_ratios(points, noises), rtol=0, atol=TOLERANCE)
    values = normal_tensor(12, 5, k, seed=6)
    torch.testing.assert_close(models.centers(points), means, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(models.whiten(models.unwhiten(values)), values, rtol=0, atol=TOLERANCE)
    squares = models.unwhiten(models.transposed_unwhiten(torch.eye(k).double().expand(12, -1, -1)))
    torch.testing.assert_close(squares, covariances, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(models.log_volumes, torch.linalg.slogdet(covariances).logabsdet / 2)


def test_model_of_full_rank_is_exact_for_a_linear_network():
    model, models = fitted(4)
    truth = true_log_densities(model, (points := 3 * normal_tensor(9, model.n_units, seed=3)))
    torch.testing.assert_close(models.log_densities(points).T, truth, rtol=0, atol=ROUNDING)


def test_directions_are_those_in_which_noises_act_most():
    """The gain of rank 2 explains at least 99 % of the squares of the best one of rank 2, by its singular values."""
    model, models = fitted(2)
    values = torch.linalg.svdvals(model.jacobians(torch.tensor([0]), torch.zeros(1, model.noise_size).double())[0])
    assert gains_of(models)[0].square().sum() > 0.99 * values[:2].square().sum()
    assert values[2] > 0.1


def test_own_noise_variance_of_the_rest_is_in_the_variances():
    """C has the variances of T: the diagonal errs by that of 64 signals, 6 sqrt(2 / 63) of its part beside U U'."""
    model, models = fitted(1)
    truth = torch.from_numpy(means_and_covariance(model)[1]).diagonal()
    excess = covariances_of(models).diagonal(dim1=1, dim2=2) - truth
    assert (excess.abs() < 6 * math.sqrt(2 / 63) * (models.variances - 1) + 0.1 * truth).all()


def test_weights_of_samples_are_unbiased_for_rank_one():
    """Means of 20,000 weights at each of 3 points, within six standard errors that are below 20 %."""
    model, models = fitted(1)
    points = KnownQueries.sample(model, [3], 1).points
    truth = true_log_densities(model, points)
    few = models.select(torch.tensor([0]))
    counts = torch.full((1, 3), 20_000)
    queries = KnownQueries(torch.zeros(3, dtype=torch.int64), torch.zeros(3, model.noise_size), points, torch.zeros(3))
    weights = WeightSampler(Proposals(model, 0, 2**26), 0).log_weights(few, queries, counts).view(3, -1)
    ratios = (weights - truth[:, :1]).exp()
    errors = ratios.std(1) / math.sqrt(20_000)
    assert errors.max() < 0.2
    assert ((ratios.mean(1) - 1).abs() < 6 * errors).all()


def test_large_layers_have_models_whose_rank_fits_into_the_budget(monkeypatch):
    model = dense_signals((3, 40, 40), 20, activation="relu")
    fits_densely = LinearModels.bytes_of_input(model) * 20 // proposals._DENSE_BUDGETS
    assert Proposals(model, 0, fits_densely).rank is None
    low_rank = Proposals(model, 0, fits_densely // 2)
    rank = low_rank.rank
    assert 1 < rank < 40
    kept = LowRankModels.bytes_of_input(model, rank) * 20
    assert kept <= low_rank.max_memory // 2 < LowRankModels.bytes_of_input(model, rank + 1) * 20
    queries = KnownQueries.sample(model, [30], 1)
    first = scores_of(low_rank, queries)
    monkeypatch.setattr(LowRankModels, "fit", None)  # the models are kept
    assert torch.equal(scores_of(low_rank, queries), first)


def test_gains_that_float64_cannot_invert_are_refused():
    model = dense_signals((3, 5, 4), 6, activation="identity", scale=1e7)
    with pytest.raises(UnboundedGainError, match="wanted at most 100000 "):
        LowRankModels.fit(model, torch.arange(6), 0, 2)


@pytest.mark.parametrize("samples", [1, 48])
def test_ends_of_models_of_rank_one_enclose_the_information_of_a_linear_layer(monkeypatch, samples):
    monkeypatch.setattr(Proposals, "rank", 1)
    model = linear_model()
    truth, error = gaussian_mixture_information(*means_and_covariance(model), 100_000, 1)
    classes = Classes(np.zeros(12, int), labelled=False)
    settings = KnownNetworkSettings(queries=1200, samples=samples)
    estimate = known_network_estimates(model, classes, 1e-4, 0, settings)["I(X;T)"]
    assert estimate.interval.lower - 5 * error <= truth <= estimate.interval.upper + 5 * error
    assert estimate.plug_in - estimate.decoded > 0.02  # the gap of proposals that are not exact
