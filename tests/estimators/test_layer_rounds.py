"""Rounds of a measurement with a tolerance: their draws and queries, their end, and their shares of the risk."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from layerbits import MeasurementSettings, layer_information
from layerbits.estimators import Problem, layer_rounds, round_schedule
from layerbits.estimators.layer_measurement import estimate_layer
from layerbits.estimators.layer_rounds import LayerRounds
from layerbits.estimators.layer_sample import sample_layers
from layerbits.estimators.round_outlook import Effort
from layerbits.estimators.round_schedule import run_rounds
from layerbits.networks import read_inputs
from tests.support.networks import INPUTS, ScalarChain, tanh_network

CHAIN = ScalarChain(np.linspace(-1, 1, 12), gains=(1.0, 2.0), sigma=0.3)
NETWORK = CHAIN.noisy()
PROBLEM = Problem.of(NETWORK, read_inputs(CHAIN.inputs(), NETWORK))
FIRST, SECOND = PROBLEM.layers


@dataclasses.dataclass
class Run:
    """A measurement, and a record of its rounds."""

    efforts: list = dataclasses.field(default_factory=list)
    seeds: list = dataclasses.field(default_factory=list)
    risks: list = dataclasses.field(default_factory=list)
    reports: list = dataclasses.field(default_factory=list)

    def sample(self, problem, layers, draws, queries, seed):
        self.efforts.append((draws, queries))
        self.seeds.append(seed)
        return sample_layers(problem, layers, draws, queries, seed)

    def estimate(self, problem, layer, samples, risk, seed, shares):
        self.risks.append(risk)
        return estimate_layer(problem, layer, samples, risk, seed, shares)

    @property
    def sentence(self):
        return self.measurement.shortfall.note[1]

    @property
    def half_width(self):
        return self.measurement.estimates["I(X;T)"].interval.half_width


@pytest.fixture
def measure(monkeypatch):
    """Return a function that measures a layer of the chain and records the rounds."""

    def measure(layer=SECOND, *, draws=16, queries=4, limited_by=None, max_seconds=60.0, **options):
        run = Run()

        def estimate(*arguments):
            estimates = run.estimate(*arguments)
            if limited_by is None:
                return estimates
            return {"I(X;T)": dataclasses.replace(estimates["I(X;T)"], limited_by=limited_by)}

        monkeypatch.setattr(layer_rounds, "sample_layers", run.sample)
        monkeypatch.setattr(layer_rounds, "estimate_layer", estimate)
        settings = MeasurementSettings(draws, queries, max_seconds=max_seconds, estimator="draws", **options)
        deadline = layer_rounds.time.monotonic() + max_seconds
        rounds = LayerRounds(PROBLEM, settings, layer, settings.risk)
        sample = run.sample(PROBLEM, (layer,), draws, queries, settings.seed)[layer]
        rounds.measure([sample], 0.0, run.reports.append)
        run_rounds({layer: rounds}, deadline, run.reports.append, lambda: None)
        (run.measurement,) = rounds.measurements.values()
        return run

    return measure


def test_without_a_tolerance_a_single_round_has_all_of_the_risk(measure):
    run = measure()
    assert (run.efforts, run.risks, run.measurement.shortfall) == ([(16, 4)], [pytest.approx(0.025)], None)
    interval = run.measurement.estimates["I(X;T)"].interval
    assert run.reports == [f"{SECOND}: {interval.lower:.3f} to {interval.upper:.3f} nats, 16 draws"]


@pytest.mark.parametrize(("layer", "draws"), [(SECOND, 16), (FIRST, 1)], ids=["behind noise", "exact"])
def test_rounds_go_on_until_the_tolerance_is_met(measure, layer, draws):
    run = measure(layer, draws=draws, tolerance=0.1)
    assert run.half_width <= 0.1 < measure(layer, draws=draws).half_width
    assert run.measurement.shortfall is None
    assert len(run.reports) == len(run.efforts) > 1
    assert run.measurement.draws == run.efforts[-1][0]
    assert len(set(run.seeds)) == len(run.seeds)


def test_interval_that_is_narrow_enough_ends_the_rounds(measure):
    assert measure(tolerance=1.5).efforts == [(16, 4)]


def test_rounds_share_the_risk(measure):
    """Infinitely many rounds use the whole risk: the sum of 6 / (pi k)^2 is 1."""
    run = measure(tolerance=0.1)
    assert run.risks == pytest.approx([0.025 * 6 / (math.pi * k) ** 2 for k in range(1, len(run.risks) + 1)])
    assert len(run.risks) > 2


def test_rounds_double_draws_or_queries_and_take_queries_from_at_most_half_of_the_draws(measure):
    efforts = measure(tolerance=0.05, max_draws=512).efforts
    assert len(efforts) > 3
    for (draws, queries), (more_draws, more_queries) in itertools.pairwise(efforts):
        assert (more_draws / draws, more_queries / queries) in ((1, 2), (2, 1), (2, 2))
        assert 2 * more_queries <= more_draws


@pytest.mark.parametrize("max_draws", [16, 100])
def test_limit_of_draws_is_kept_and_named(measure, max_draws):
    run = measure(tolerance=1e-4, max_draws=max_draws)
    limit = run.measurement.estimates["I(X;T)"].limited_by
    assert run.sentence == (
        f"tolerance 0.0001 not reached within max_draws {max_draws}, limited by {limit}: raise max_draws"
    )
    assert max(draws for draws, _ in run.efforts) <= max_draws < 2 * run.measurement.draws


@pytest.mark.parametrize(("layer", "draws"), [(SECOND, 16), (FIRST, 1)], ids=["behind noise", "exact"])
def test_no_round_begins_that_would_end_too_late(measure, monkeypatch, layer, draws):
    """The clock is replaced: a round takes draws * queries seconds."""
    clock = SimpleNamespace(now=0.0)
    for module in (layer_rounds, round_schedule):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def estimate(problem, layer, samples, risk, seed, shares):
        clock.now += samples[0].draws * samples[0].queries
        return estimate_layer(problem, layer, samples, risk, seed, shares)

    monkeypatch.setattr(Run, "estimate", lambda run, *arguments: estimate(*arguments))
    run = measure(layer, draws=draws, tolerance=1e-5, max_seconds=1000.0)
    assert run.sentence.startswith("tolerance 1e-05 not reached within max_seconds 1000, limited by ")
    assert run.sentence.endswith(": raise max_seconds")
    assert len(run.efforts) > 1
    assert clock.now <= 1000 < clock.now + 2 * math.prod(run.efforts[-1])


@pytest.mark.parametrize(
    ("limited_by", "effort"), [("queries", (16, 8)), ("draws", (32, 4)), ("decoder", (32, 4)), ("dimensions", (32, 4))]
)
def test_main_cause_of_the_width_decides_whether_queries_or_draws_are_doubled(measure, limited_by, effort):
    run = measure(tolerance=1e-4, max_draws=63, limited_by=limited_by)
    assert run.efforts[1] == effort
    assert f"limited by {limited_by}: " in run.sentence


def test_omitted_dimensions_of_a_known_channel_end_the_rounds(measure):
    run = measure(FIRST, draws=1, tolerance=1e-4, limited_by="dimensions")
    assert (len(run.efforts), run.sentence) == (
        1,
        "tolerance 0.0001 not reached within any number of draws, limited by dimensions: raise tolerance",
    )


def test_more_queries_take_more_draws_where_half_of_the_draws_carry_queries():
    assert Effort(16, 8).larger("queries", max_draws=4096, max_queries=0) == Effort(32, 16)


def test_queries_of_the_first_layer_have_a_limit(measure, monkeypatch):
    monkeypatch.setattr(layer_rounds, "MAX_QUERIES", 12 * 64)
    run = measure(FIRST, draws=1, tolerance=1e-5)
    assert run.efforts == [(1, 4), (1, 8), (1, 16), (1, 32), (1, 64)]
    assert run.sentence == (
        "tolerance 1e-05 not reached within 64 queries of an input, limited by queries: raise tolerance"
    )


def test_second_sample_of_the_paper_estimator_has_another_seed(monkeypatch):
    run = Run()
    monkeypatch.setattr("layerbits.estimators.all_layers.sample_layers", run.sample)
    layer_information(tanh_network(), INPUTS, estimator="paper")
    assert len(set(run.seeds)) == len(run.seeds) == 2


# Through the public function


def test_each_layer_meets_the_tolerance():
    table = layer_information(tanh_network(), INPUTS, draws=32, tolerance=0.1, max_seconds=600, estimator="draws")
    rows = [table[layer, "I(X;T)"] for layer in ("1", "3")]
    assert all(row.upper - row.lower <= 0.2 for row in rows)
    row_without_tolerance = layer_information(tanh_network(), INPUTS, draws=32, estimator="draws")["3", "I(X;T)"]
    assert row_without_tolerance.upper - row_without_tolerance.lower > 0.2
    assert (rows[0].draws, rows[1].draws > 32, rows[1].note) == (1, True, "")


def test_missed_tolerance_is_noted():
    row = layer_information(
        tanh_network(), INPUTS, layers="3", draws=32, tolerance=1e-4, max_draws=64, estimator="draws"
    ).rows[0]
    assert row.note == f"tolerance 0.0001 not reached within max_draws 64, limited by {row.limited_by}: raise max_draws"
