"""Chains: exact on linear networks, and the laws of forward and backward weights beside closed forms and quadrature."""

import dataclasses
import math

import pytest
import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings
from layerbits.estimators.known_network.annealed_weights import AnnealedSampler
from layerbits.estimators.known_network.annealing import Bridges, Chains, Targets
from layerbits.estimators.known_network.density_estimates import (
    AnnealedEffort,
    DensityEstimates,
    Effort,
    ScoredQueries,
    scores_of,
)
from layerbits.estimators.known_network.linear_models import LinearModels
from layerbits.estimators.known_network.low_rank_models import LowRankModels
from layerbits.estimators.known_network.pilot import Pilot
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.whitened_posteriors import DensePosteriors, whitened_posteriors
from layerbits.kernels import stream
from tests.estimators.known_network.test_linear_networks import ROUNDING, linear_model, true_log_densities
from tests.estimators.known_network.test_small_networks import scalar_model, small_model
from tests.support.random_arrays import normal_tensor
from tests.support.signal_models import dense_signals

EACH = torch.arange


def by_input(model, values):
    """Return values (N m, ...) of m whole passes as (N, m, ...)."""
    return values.unflatten(0, (-1, model.n_inputs)).transpose(0, 1)


def log_weights_of(model, posteriors, queries, bridges):
    """Return the log weights (q,) of independent forward and backward chains, one at each query of whole passes."""
    points, noises = by_input(model, queries.points), by_input(model, queries.noises)
    filled = torch.ones(points.shape[:2], dtype=torch.bool)
    targets = Targets(model, posteriors, torch.arange(model.n_inputs), points, filled)
    chains = [Chains(targets, bridges, [stream(seed, 900, i) for i in range(model.n_inputs)]) for seed in (1, 2)]
    weights = (
        chains[0].forward_log_weights(),
        chains[1].backward_log_weights(noises, by_input(model, queries.squares).flatten()),
    )
    return tuple(log_weights.transpose(0, 1).flatten() for log_weights in weights)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_weights_of_a_linear_network_equal_the_density_for_any_number_of_bridges(number):
    model = linear_model()
    proposals, queries = Proposals(model, 0, 2**26), KnownQueries.sample(model, [50], 1)
    truth = true_log_densities(model, queries.points)
    effort = AnnealedEffort(36, 3, power=0.05, bridges=Bridges(number))
    (estimates,) = DensityEstimates.of(proposals, queries, scores_of(proposals, queries), [effort], 2)
    has_chains = estimates.counts > 0
    assert has_chains.double().mean() > 0.9
    torch.testing.assert_close(estimates.fresh[has_chains], truth[has_chains], rtol=0, atol=ROUNDING)
    own = truth[EACH(50), queries.rows]
    torch.testing.assert_close(estimates.tilted_more, own, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(estimates.fresh_more, own, rtol=0, atol=ROUNDING)


DISTORTIONS = {
    "none": lambda models: models,
    "means": lambda models: dataclasses.replace(models, means=models.means + 0.7),
    "no gains": lambda models: dataclasses.replace(
        models,
        gains=0 * models.gains,
        precisions=torch.diag_embed(1 / models.variances),
        half_log_determinants=models.variances.log().sum(1) / 2,
    ),
}


def check_laws(forward, backward, truth):
    """Check E_B min(1, c p / omega) = E_F min(omega / p, c), an identity of the tilt by omega / p.

    The terms lie between 0 and max(1, c). Six standard errors are exceeded with a probability of 2e-9.
    """
    for c in (0.3, 1.0, 3.0):
        terms = (c * (truth - backward).exp()).clamp(max=1) - (forward - truth).exp().clamp(max=c)
        assert abs(terms.mean()) < 6 * terms.std() / math.sqrt(len(terms)), c


@pytest.mark.parametrize("distortion", DISTORTIONS)
@pytest.mark.parametrize("bridges", [Bridges(1), Bridges(3, 0.9, 0.5), Bridges(8, 0.5, 0.9)], ids=str)
def test_laws_of_chains_of_one_unit_are_those_of_quadrature(distortion, bridges):
    """p(t|x) is the sum over noises of -9 to 9 in steps of 1/32: smooth terms that decay, so below 1e-10 off."""
    model = scalar_model()
    queries = KnownQueries.sample(model, [5] * 1200, 3)
    models = DISTORTIONS[distortion](LinearModels.fit(model, torch.arange(5), 0))
    forward, backward = log_weights_of(model, DensePosteriors.of(models), queries, bridges)
    grid = torch.arange(-9, 9.01, 1 / 32).double()
    signals = torch.stack([model.signals(torch.full((len(grid),), x), grid[:, None])[:, 0] for x in range(5)])
    exponents = -((queries.points - signals[queries.rows]) ** 2) / 2 - grid.square() / 2
    truth = exponents.logsumexp(1) + math.log(1 / 32 / math.sqrt(2 * math.pi))
    check_laws(forward, backward, truth)


@pytest.mark.parametrize("rank", [1, 3])
def test_laws_of_chains_from_a_proposal_of_low_rank_are_those_of_a_linear_network(rank):
    model = linear_model()
    queries = KnownQueries.sample(model, [12] * 300, 3)
    models = LowRankModels.fit(model, torch.arange(12), 0, rank)
    truth = true_log_densities(model, queries.points)[EACH(3600), queries.rows]
    for bridges in (Bridges(1), Bridges(6, 0.7, 0.6)):
        check_laws(*log_weights_of(model, models, queries, bridges), truth)


def test_more_bridges_narrow_the_gap_between_forward_and_backward_weights():
    """From the prior as the proposal, E_B log omega - E_F log omega falls to less than a third with 16 bridges."""
    model = small_model()
    queries = KnownQueries.sample(model, [6] * 60, 3)
    models = DISTORTIONS["no gains"](LinearModels.fit(model, torch.arange(6), 0))
    gaps = []
    for number in (1, 16):
        forward, backward = log_weights_of(model, whitened_posteriors(models), queries, Bridges(number))
        gaps.append(float((backward - forward).mean()))
    assert 0 < gaps[1] < gaps[0] / 3


def test_chains_do_not_depend_on_the_budget_or_on_chains_of_other_inputs():
    model = small_model()
    proposals, queries = Proposals(model, 0, 2**26), KnownQueries.sample(model, [9], 1)
    (models,) = proposals.batches()
    counts = torch.arange(54).view(6, 9) % 4
    sampler = AnnealedSampler(proposals, 4, Bridges(3))
    weights = torch.split(sampler.log_weights(models, queries, counts), counts.sum(1).tolist())
    noises = dict(zip(*sampler.of_noises(models, queries), strict=True))
    proposals.max_memory = 32 * 2000
    again = torch.split(sampler.log_weights(models, queries, counts), counts.sum(1).tolist())
    order, log_weights = sampler.of_noises(models, queries)
    # Another batch may round products of matrices differently.
    for first, second in zip(weights, again, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-10, atol=1e-10)
    for index, value in zip(order.tolist(), log_weights, strict=True):
        expected = next(of_query for query, of_query in noises.items() if int(query) == index)
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    alone = sampler.log_weights(models.select(torch.tensor([2])), queries, counts[2:3])
    torch.testing.assert_close(alone, weights[2], rtol=1e-10, atol=1e-10)


def test_derivatives_that_are_not_finite_count_as_zero(monkeypatch):
    model = small_model()
    products = model.residual_products

    def with_nan(rows, noises, points):
        signals, result = products(rows, noises, points)
        return signals, torch.where(normal_tensor(*result.shape) > 0, result, math.nan)

    monkeypatch.setattr(model, "residual_products", with_nan)
    queries = KnownQueries.sample(model, [6, 6], 1)
    posteriors = DensePosteriors.of(LinearModels.fit(model, torch.arange(6), 0))
    for log_weights in log_weights_of(model, posteriors, queries, Bridges(4)):
        assert log_weights.isfinite().all()


def test_pilot_takes_chains_where_samples_leave_a_gap():
    """Units are saturated, so that one Gaussian is far from the posterior; both pilots have the same queries."""
    model = dense_signals((2, 24, 24, 24), 8, sigma=0.3, scale=3.0)
    settings, classes = KnownNetworkSettings(samples=256), Classes.of(None, 8)
    proposals, queries = Proposals(model, 0, 2**26), KnownQueries.sample(model, [160], 1)
    scored = ScoredQueries(queries, scores_of(proposals, queries))
    efforts, gaps = [], []
    for chains in (True, False):
        pilot = Pilot.of(proposals, scored, [classes], dataclasses.replace(settings, chains=chains), 0.05)
        efforts.append(type(pilot.effort))
        gaps.append(pilot.expected.upper - pilot.expected.lower)
    assert efforts == [AnnealedEffort, Effort]
    assert gaps[0] < gaps[1] - 0.05


def test_numbers_of_chains_are_rounded_so_that_few_inputs_have_chains():
    scores = normal_tensor(5, 40, seed=1) * 3
    counts = AnnealedEffort(20, 3, bridges=Bridges(2)).counts(scores)
    assert torch.equal(counts, (20 * torch.softmax(scores / 2, dim=1)).round().long())
    assert 0 < (counts > 0).sum(1).max() < 40
