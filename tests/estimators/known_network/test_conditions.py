"""The conditions of the proof: what a sample, a number of samples and a score may depend on."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, known_network_estimates
from layerbits.estimators.known_network.density_estimates import DensityEstimates, Effort, scores_of
from layerbits.estimators.known_network.linear_models import LinearModels
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries, QueryStream, pass_sizes
from layerbits.estimators.known_network.terms import confusions, decoder_scores
from layerbits.estimators.known_network.weights import WeightSampler, log_means
from layerbits.statistics import QUANTITIES
from tests.support.random_arrays import normal_tensor
from tests.support.signal_models import dense_signals

EFFORT = Effort(30, 8, 1e-3)
INFORMATION, CLASS_INFORMATION = QUANTITIES[0], QUANTITIES[3]


def tanh_model(n_inputs=10):
    return dense_signals((3, 5, 4), n_inputs, sigma=0.4, scale=1.5)


def sampled(model, n_queries=40):
    proposals = Proposals(model, 0, 2**26)
    queries = KnownQueries.sample(model, [n_queries], 1)
    return proposals, queries, estimates_at(proposals, queries)


def estimates_at(proposals, queries):
    return DensityEstimates.of(proposals, queries, scores_of(proposals, queries), [EFFORT], 2)[0]


def test_own_noise_enters_the_tilted_estimates_alone():
    """Neither proposals nor numbers of samples nor fresh estimates depend on the noise that made a query."""
    proposals, queries, estimates = sampled(tanh_model())
    other = dataclasses.replace(queries, noises=normal_tensor(*queries.noises.shape, seed=9))
    changed = estimates_at(proposals, other)
    for name in ("scores", "counts", "fresh", "fresh_more"):
        assert torch.equal(getattr(estimates, name), getattr(changed, name)), name
    assert not torch.isclose(estimates.tilted_more, changed.tilted_more).any()


def test_numbers_of_samples_do_not_depend_on_the_input_that_made_a_query():
    proposals, queries, estimates = sampled(tanh_model())
    other = dataclasses.replace(queries, rows=(queries.rows + 1) % 10)
    assert torch.equal(estimates_at(proposals, other).counts, estimates.counts)


def test_decoder_scores_of_other_inputs_have_the_law_of_those_of_the_own_input():
    """With one sample for each pair and equal inputs, every column of the scores has the same distribution.

    The own noise would raise the mean of the column of the own input. There are 1600 queries of 4 equal inputs; a
    normal mean exceeds 5 standard errors with a probability of 6e-7.
    """
    model = tanh_model(4)
    model.inputs = model.inputs[:1].repeat(4, 1)
    model.__post_init__()
    proposals, queries = Proposals(model, 0, 2**26), KnownQueries.sample(model, [1600], 1)
    scores = scores_of(proposals, queries)
    # Equal scores, so that differences come from the samples alone.
    estimates = DensityEstimates.of(proposals, queries, torch.zeros_like(scores), [Effort(4, 1)], 2)[0]
    assert (estimates.counts == 1).all()
    fresh = decoder_scores(estimates, 1.0, 1.0)
    each = torch.arange(1600)
    differences = fresh[each, queries.rows] - fresh[each, (queries.rows + 1) % 4]
    assert differences.mean().abs() < 5 * differences.std() / math.sqrt(1600)
    tilted = estimates.tilted - fresh[each, (queries.rows + 1) % 4]
    assert tilted.mean() > 5 * tilted.std() / math.sqrt(1600)


def test_queries_share_no_samples():
    """Two queries that are equal in all respects have different fresh estimates at every input with samples."""
    proposals, queries, _ = sampled(tanh_model(), 2)
    twice = KnownQueries(*(getattr(queries, field.name)[[0, 0]] for field in dataclasses.fields(queries)))
    estimates = estimates_at(proposals, twice)
    assert torch.equal(estimates.scores[0], estimates.scores[1])
    has_samples = estimates.counts[0] > 0
    assert not torch.isclose(*estimates.fresh[:, has_samples]).any()


def test_blocks_of_queries_share_no_samples():
    proposals, queries, estimates = sampled(tanh_model())
    other = DensityEstimates.of(proposals, queries, estimates.scores, [EFFORT], 3)[0]
    has_samples = estimates.counts > 0
    assert not torch.isclose(estimates.fresh[has_samples], other.fresh[has_samples]).any()


def test_class_term_is_zero_where_the_own_input_has_no_samples():
    """An own class whose sum lacks the own input would overstate L."""
    _, queries, estimates = sampled(tanh_model())
    own = (torch.arange(40), queries.rows)
    counts, fresh, tilted = estimates.counts.clone(), estimates.fresh.clone(), estimates.tilted.clone()
    counts[own], fresh[own], tilted[:] = 0, -math.inf, -math.inf
    partial = dataclasses.replace(estimates, counts=counts, fresh=fresh, tilted=tilted)
    terms = confusions(CLASS_INFORMATION, partial, queries.rows, Classes(np.arange(10) % 3, labelled=True))
    assert (terms == 0).all()


def test_partial_sets_of_inputs_only_loosen_the_ends():
    """Without the samples of some inputs L falls, as a mean over 2000 queries with both sets at each query."""
    model = tanh_model()
    proposals, queries = Proposals(model, 0, 2**26), KnownQueries.sample(model, [2000], 1)
    scores, classes = scores_of(proposals, queries), Classes(np.arange(10) % 3, labelled=True)
    for quantity in (INFORMATION, CLASS_INFORMATION):
        means = []
        for least_share in (0.0, 2.0):
            effort = Effort(40, 8, least_share)
            estimates = DensityEstimates.of(proposals, queries, scores, [effort], 2)[0]
            means.append(confusions(quantity, estimates, queries.rows, classes).mean())
        assert means[1] < means[0] - 0.05, quantity.name


def test_whole_passes_take_every_input_once_and_others_take_uniform_inputs():
    model = tanh_model()
    whole = KnownQueries.sample(model, [10, 10], 1)
    assert torch.equal(whole.rows, torch.arange(10).repeat(2))
    uniform = KnownQueries.sample(model, [5000], 1).rows.bincount(minlength=10)
    # A count is binomial; 6 standard deviations are exceeded with a probability of 1e-8 for ten counts.
    assert (uniform - 500).abs().max() < 6 * math.sqrt(450)


def test_parts_of_a_pass_are_the_queries_of_the_whole():
    model, sizes = tanh_model(), [7, 10, 10]
    whole, source = KnownQueries.sample(model, sizes, 1), QueryStream(model, sizes, 1)
    parts = [source.take(count) for count in (5, 11, 1, 10)]
    for name in ("rows", "noises", "points", "squares"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


@pytest.mark.parametrize(
    ("queries", "sizes"), [(25, [10, 10]), (10, [10]), (9, [9]), (1, [1])], ids=lambda value: str(value)
)
def test_number_of_queries_is_rounded_to_whole_passes(queries, sizes):
    assert pass_sizes(10, queries) == sizes


def test_passes_of_fewer_queries_than_inputs_add_up():
    assert pass_sizes(10_000, 1001) == [126] + 7 * [125]


def test_final_queries_are_not_those_of_the_pilot(monkeypatch):
    """The final queries have other noises and another seed than the pilot, and their effort is one of the pilot's."""
    calls = []
    original = DensityEstimates.of.__func__

    def recorded(cls, proposals, queries, scores, efforts, seed):
        calls.append((queries, efforts, seed))
        return original(cls, proposals, queries, scores, efforts, seed)

    monkeypatch.setattr(DensityEstimates, "of", classmethod(recorded))
    known_network_estimates(tanh_model(), Classes.of(None, 10), 0.025, 0, KnownNetworkSettings(20, 16, samples=64))
    (pilot, pilot_efforts, pilot_seed), (final, final_efforts, final_seed) = calls
    assert len(final_efforts) == 1
    assert final_efforts[0] in pilot_efforts
    assert final_seed != pilot_seed
    assert (len(pilot.rows), len(final.rows)) == (16, 20)
    assert not torch.isin(final.noises, pilot.noises).any()


def test_fewer_samples_are_the_first_of_more():
    """With a single query, each input has one pair, and both calls begin with the same samples of the pair."""
    proposals, queries, _ = sampled(tanh_model(), 1)
    scores, few = scores_of(proposals, queries), Effort(16, 4)
    beside, more = DensityEstimates.of(proposals, queries, scores, [few, Effort(64, 40)], 2)
    alone = DensityEstimates.of(proposals, queries, scores, [few], 2)[0]
    for name in ("counts", "fresh", "tilted", "tilted_more", "fresh_more"):
        torch.testing.assert_close(getattr(beside, name), getattr(alone, name), rtol=1e-12, atol=0)
    assert not torch.isclose(beside.tilted_more, more.tilted_more).any()


def test_models_are_the_same_when_they_are_fitted_again():
    """Proposals that do not fit into the budget are fitted at each visit, from the same noises."""
    model = tanh_model()
    kept, refitted = Proposals(model, 0, 2**26), Proposals(model, 0, 16 * LinearModels.bytes_of_input(model))
    for proposals in (kept, refitted):
        list(proposals.batches())
    rows = model.rows_seen
    list(kept.batches())
    assert model.rows_seen == rows
    again = torch.cat([models.precisions for models in refitted.batches()])
    assert model.rows_seen > rows
    assert torch.equal(again, torch.cat([models.precisions for models in refitted.batches()]))
    # Another batch size may round the products of matrices differently.
    torch.testing.assert_close(again, torch.cat([models.precisions for models in kept.batches()]), rtol=1e-12, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_derivatives_that_are_not_finite_count_as_zero(monkeypatch, value):
    model = tanh_model()
    jacobians = model.jacobians

    def fitted_with(derivative):
        def changed(rows, noises):
            result = jacobians(rows, noises)
            result[:, 1, 2] = derivative
            return result

        monkeypatch.setattr(model, "jacobians", changed)
        return LinearModels.fit(model, torch.arange(3), 0)

    fitted, expected = fitted_with(value), fitted_with(0.0)
    for name in ("means", "gains", "variances", "precisions"):
        assert torch.equal(getattr(fitted, name), getattr(expected, name)), name
    assert fitted.gains.any()


def test_weights_do_not_depend_on_the_budget():
    """Pieces and padding change only the rounding of products of matrices."""
    model = tanh_model()
    results = []
    for max_memory in (2**26, 256 * 8 * 40):
        proposals = Proposals(model, 0, 2**26)
        list(proposals.batches())
        proposals.max_memory = max_memory
        queries = KnownQueries.sample(model, [30], 1)
        counts = torch.arange(300).view(10, 30) % 7
        sampler = WeightSampler(proposals, 5, 0.2)
        results.append(
            torch.cat([sampler.log_weights(models, queries, counts[models.rows]) for models in proposals.batches()])
        )
    assert len(results[0]) == int((torch.arange(300) % 7).sum())
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-10)


def test_log_means_of_parts():
    values = torch.tensor([0.0, math.log(3), -1000.0, -math.inf, 5.0], dtype=torch.float64)
    lengths = torch.tensor([2, 1, 1, 0, 1])
    means = log_means(values, lengths, lengths)
    expected = torch.tensor([math.log(2), -1000.0, -math.inf, -math.inf, 5.0], dtype=torch.float64)
    torch.testing.assert_close(means, expected, rtol=1e-14, atol=1e-15)
    means = log_means(values, lengths, torch.tensor([1, 1, 0, 0, 1]))
    expected = torch.tensor([0.0, -1000.0, -math.inf, -math.inf, 5.0], dtype=torch.float64)
    torch.testing.assert_close(means, expected, rtol=1e-14, atol=1e-15)
