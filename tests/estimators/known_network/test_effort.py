"""The effort of the known network: memory of blocks of queries, the pilot that may end it, and affordable settings."""

import dataclasses
import math

import pytest

from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network import KnownNetworkSettings, OtherEstimate, estimate, estimates_of_label_sets
from layerbits.estimators.known_network.affordable_settings import (
    affordable_settings,
    flops_of_signal,
    work_of_draws,
)
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
