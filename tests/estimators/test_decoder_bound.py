"""The choice of a decoder by the first half of the queries, and its evaluation at the second half."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder_bound import DecoderBounds
from layerbits.estimators.decoder_candidates import TrialSplit, candidates
from layerbits.estimators.decoders import decoders
from layerbits.estimators.layer_behind_noise import noisy_layer_estimates
from layerbits.estimators.line_gaussians import LineGaussians
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.noisy_sample import NoisySample
from layerbits.estimators.plug_in_bound import plug_in
from layerbits.statistics import QUANTITIES
from tests.support.random_arrays import normal_tensor

SIGMA, RISK = 0.3, 0.05
INFORMATION = QUANTITIES[0]


def sample(*, gain=1.0, copies=1, n_queries=8, n_draws=16):
    """Return queries and draws of T_2 = tanh(gain T_1) + Z, for `copies` copies of 12 inputs."""
    values = torch.linspace(-1, 1, 12, dtype=torch.float64).repeat(copies)[:, None, None].tanh()
    signals = (gain * (values + SIGMA * normal_tensor(len(values), n_queries + n_draws, 1))).tanh()
    bases, draws = signals[:, n_draws:], signals[:, :n_draws]
    return Queries.around(bases, SIGMA, normal_tensor(*bases.shape, seed=1)), draws


def bounds(queries, draws):
    n_inputs, n_queries = queries.shape
    classes, split = Classes.of(None, n_inputs), TrialSplit(queries, np.arange(n_inputs), n_queries // 2)
    return DecoderBounds.of(NoisySample(queries, draws), split, plug_in(queries, draws, classes), classes, RISK)


def bound(queries, draws):
    return bounds(queries, draws).bound(INFORMATION)


def with_moved_points(queries, passes, distance):
    """Return the queries with the points of some passes moved, and the same signals."""
    points = queries.points.clone()
    points[:, passes] += distance
    return Queries.at(points, queries.bases, SIGMA)


def test_final_queries_do_not_choose_the_decoder():
    queries, draws = sample()
    expected, moved = bound(queries, draws), bound(with_moved_points(queries, slice(4, None), 0.5), draws)
    assert moved.decoder == expected.decoder
    assert moved.mean.value != expected.mean.value


def test_final_queries_do_not_end_the_list_of_decoders():
    """Final queries far away from their signals would make the plug-in of all queries lower than any decoder bound."""
    queries, draws = sample()
    bases = queries.bases.clone()
    bases[:, 4:] += 0.3
    moved = Queries.at(with_moved_points(queries, slice(4, None), 3.0).points, bases, SIGMA)
    names = [[candidate.name for candidate in bounds(each, draws).candidates] for each in (queries, moved)]
    assert names[0] == names[1]
    assert len(names[0]) == 6


def test_list_of_decoders_ends_where_no_decoder_can_do_better():
    assert len(bounds(*sample(gain=0.0)).candidates) == 2


def test_trial_queries_do_not_change_the_mean_of_the_chosen_decoder():
    queries, draws = sample()
    expected, moved = bound(queries, draws), bound(with_moved_points(queries, slice(4), 1e-3), draws)
    assert (moved.decoder, moved.mean.value) == (expected.decoder, pytest.approx(expected.mean.value, abs=1e-12))


@pytest.mark.parametrize(
    ("gain", "names"),
    [(0.5, ("Gaussian", "shared Gaussian", "shrunk Gaussian")), (20.0, ("mixture", "wide mixture"))],
    ids=["nearly linear", "two clusters"],
)
def test_decoder_that_fits_is_chosen(gain, names):
    assert bound(*sample(gain=gain, copies=20, n_queries=20, n_draws=20)).decoder in names


def test_trial_takes_random_inputs_and_half_of_the_passes():
    queries = Queries.around(normal_tensor(3000, 4, 1), SIGMA, normal_tensor(3000, 4, 1))
    split = TrialSplit.random(queries, np.random.default_rng(0))
    assert (split.trial.shape, split.final.shape) == ((1024, 2), (3000, 2))
    assert (np.diff(split.inputs) > 0).all()
    assert len(set(np.diff(split.inputs))) > 2
    np.testing.assert_array_equal(split.trial_values(queries.noise_log_density), split.trial.noise_log_density)
    np.testing.assert_array_equal(split.final_values(queries.noise_log_density), split.final.noise_log_density)


@pytest.mark.parametrize(("passes", "changes"), [(slice(0, 4), True), (slice(4, 8), False)], ids=["trial", "final"])
def test_assumed_range_depends_on_the_trial_queries_and_not_on_the_final_ones(passes, changes):
    """A signal at 3 lies further out than all others, and less than ten times as far."""
    queries, draws = sample()
    bases = queries.bases.clone()
    bases[2, passes] = 3.0
    moved = dataclasses.replace(queries, bases=bases)
    ratios = [bounds(of_sample, draws).wide.largest_log_ratio for of_sample in (queries, moved)]
    assert (ratios[0] < ratios[1]) if changes else (ratios[0] == ratios[1])


def test_a_slice_has_two_decoders_and_no_entropies():
    queries, draws = sample()
    classes, split = Classes.of(None, len(draws)), TrialSplit(queries, np.arange(len(draws)), 4)
    of_slice = NoisySample(queries, draws, is_slice=True)
    tried = DecoderBounds.of(of_slice, split, plug_in(queries, draws, classes), classes, RISK).candidates
    assert [candidate.name for candidate in tried] == ["mixture", "Gaussian"]
    estimates = noisy_layer_estimates([of_slice], classes, RISK, np.random.default_rng(0))
    assert set(estimates) == {"I(X;T)"}


def test_line_gaussians_are_evaluated_at_all_queries_of_a_trial_in_one_call(monkeypatch):
    """Each query has the log densities of a call for its part alone."""
    generator = torch.Generator().manual_seed(3)
    bases = torch.randn(1024, 5, 1, generator=generator, dtype=torch.float64)
    queries = Queries.around(bases, SIGMA, torch.randn(bases.shape, generator=generator, dtype=torch.float64))
    draws = bases[:, :1] + 0.05 * torch.randn(1024, 12, 1, generator=generator, dtype=torch.float64)
    classes, split = Classes.of(None, len(draws)), TrialSplit(queries, np.arange(0, 1024, 2), 2)
    decoder = next(decoders(draws, classes, SIGMA))
    assert isinstance(decoder, LineGaussians)
    shapes, original = [], LineGaussians.log_densities
    monkeypatch.setattr(LineGaussians, "log_densities", lambda *args: shapes.append(args[1].shape) or original(*args))
    _, gaussian = itertools.islice(candidates(split, draws, plug_in(queries, draws, classes), classes), 2)
    for part, log_densities in ((split.trial, gaussian.at_trial), (split.final, gaussian.at_final)):
        alone = original(decoder, part)
        # A sum on a grid may change by 1e-7 nats.
        assert np.allclose(log_densities.marginal, alone.marginal, rtol=0, atol=2e-7)
        assert np.array_equal(log_densities.given_input, alone.given_input)
    assert shapes == [(512 * 2 + 1024 * 3, 1)]
