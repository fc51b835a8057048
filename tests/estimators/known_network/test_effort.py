"""The effort of the known network: memory of blocks of queries, the pilot that may end it, and affordable settings."""

import dataclasses
import math

import pytest

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, OtherEstimate, estimate, estimates_of_label_sets
from layerbits.estimators.known_network.affordable_settings import affordable_settings, work_of_draws
from layerbits.estimators.known_network.density_estimates import ScoredQueries, scores_of
from layerbits.estimators.known_network.pilot import Pilot
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.known_network.work import Work, flops_of_signal
from layerbits.statistics import Interval
from tests.support.signal_models import dense_signals

SETTINGS = KnownNetworkSettings(queries=240, pilot_queries=16, samples=16)


def tanh_model(n_inputs=60):
    return dense_signals((3, 5, 4), n_inputs, sigma=0.4, scale=1.5)


def measured(settings):
    model = tanh_model()
    return estimates_of_label_sets(model, [Classes.of(None, model.n_inputs)], 0.025, 0, settings)


def test_scored_queries_fit_into_the_budget(monkeypatch):
    """Scores of a block take 8 of the 128 bytes of a pair of a query and an input."""
    shapes = []
    original = estimate.scores_of

    def recorded(proposals, queries):
        scores = original(proposals, queries)
        shapes.append(scores.shape)
        return scores

    monkeypatch.setattr(estimate, "scores_of", recorded)
    (of_blocks,) = measured(dataclasses.replace(SETTINGS, max_memory=2**19))
    block = 2**19 // 128 // 60
    assert shapes == [(16 + block, 60), (block, 60), (block, 60), (240 - 3 * block, 60)]
    shapes.clear()
    (whole,) = measured(SETTINGS)
    assert shapes == [(256, 60)]
    # The queries are the same, and the samples are others.
    first, second = of_blocks["I(X;T)"], whole["I(X;T)"]
    assert 0 < abs(first.plug_in - second.plug_in) < 5 * (first.plug_in_error + second.plug_in_error)


def test_measurement_ends_after_a_pilot_that_expects_a_wide_interval():
    assert measured(dataclasses.replace(SETTINGS, other=OtherEstimate(width=0.01))) == []
    assert len(measured(dataclasses.replace(SETTINGS, other=OtherEstimate(width=10.0)))) == 1
    near = OtherEstimate(Interval(-math.inf, 0.0), width=0.01)  # with its upper end the lower one leaves less
    assert len(measured(dataclasses.replace(SETTINGS, other=near))) == 1


def test_operations_of_a_signal_are_counted():
    model = tanh_model()
    # The first layer is computed once, and the weights of the second layer are 4 x 5.
    assert flops_of_signal(model) == 2 * 4 * 5


def pilot_of(model, settings):
    proposals, queries = Proposals(model, 0, 2**26), KnownQueries.sample(model, [60], 1)
    scored = ScoredQueries(queries, scores_of(proposals, queries))
    classes = [Classes.of(None, model.n_inputs)]
    return proposals, Pilot.of(proposals, scored, classes, settings, 2.7 / math.sqrt(settings.queries))


def test_pilot_takes_more_queries_and_fewer_samples_where_queries_limit_the_width():
    """The bounds of a linear network meet, so more samples are of no use; the work is that of the models at most."""
    model = dense_signals((3, 6, 5, 4), 60, sigma=0.8, activation="identity")
    settings = KnownNetworkSettings(queries=120, samples=256)
    _, base = pilot_of(model, settings)
    proposals, pilot = pilot_of(model, dataclasses.replace(settings, most_queries=6000))
    assert (base.n_final, pilot.n_final % 60) == (120, 0)
    assert 120 < pilot.n_final < 6000
    work, samples = Work.of(model), [float(of.estimates.counts.sum(1).double().mean()) for of in (base, pilot)]
    allowed = 120 * work.query(samples[0]) + work.models(proposals.n_jacobians)
    assert pilot.n_final * work.query(samples[1]) <= allowed < (pilot.n_final + 60) * work.query(samples[1])
    widths = [of.expected.upper - of.expected.lower for of in (base, pilot)]
    assert widths[1] < widths[0] * math.sqrt(130 / pilot.n_final)
    assert pilot_of(model, dataclasses.replace(settings, most_queries=180))[1].n_final == 180


def test_pilot_takes_more_samples_where_a_gap_between_the_bounds_is_left():
    model = dense_signals((2, 24, 24, 24), 8, sigma=0.3, scale=2.0)
    settings = KnownNetworkSettings(queries=800, samples=256, most_queries=2**14, chains=False)
    assert pilot_of(model, settings)[1].effort.shared == 256


def test_queries_are_rounded_down_to_whole_passes():
    model, risk = tanh_model(), 0.025
    settings = [KnownNetworkSettings(queries=count, pilot_queries=16, samples=16) for count in (120, 179)]
    classes = [Classes.of(None, model.n_inputs)]
    first, second = (estimates_of_label_sets(model, classes, risk, 0, of_count) for of_count in settings)
    assert first == second


def test_interval_of_more_queries_is_narrower():
    model = dense_signals((3, 16, 16), 60, sigma=0.8)
    estimates = [
        estimates_of_label_sets(model, [Classes.of(None, 60)], 0.025, 0, settings)[0]["I(X;T)"].interval
        for settings in (KnownNetworkSettings(queries=60), KnownNetworkSettings(queries=60, most_queries=2**14))
    ]
    assert estimates[1].half_width < estimates[0].half_width / 1.2


def test_more_work_of_draws_affords_more_queries_samples_and_jacobians():
    model = dense_signals((3, 64, 64), 256, sigma=0.4)
    chosen = [affordable_settings(model, work, 2**30) for work in (3e7, 2e8, 1e9, 1e11)]
    assert chosen[0] is None
    efforts = [(settings.jacobians, settings.queries, settings.samples) for settings in chosen[1:]]
    assert efforts == sorted(efforts)
    assert efforts[-1] == (16, 1024, 1024)
    assert chosen[1] == affordable_settings(model, 2e8, 2**30)


@pytest.mark.parametrize(("n_units", "allows"), [(64, True), (512, False)])
def test_wide_layers_are_left_to_draws(n_units, allows):
    model = dense_signals((3, n_units, n_units), 512, sigma=0.4)
    work = work_of_draws(512, n_units, draws=32, queries=8)
    assert (affordable_settings(model, work, 2**30) is not None) == allows


def test_queries_are_whole_passes_where_they_exceed_the_inputs():
    settings = affordable_settings(dense_signals((3, 8, 8), 100, sigma=0.4), 1e9, 2**30)
    assert settings.queries == 1000
