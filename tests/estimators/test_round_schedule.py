"""The order of the rounds of several layers, on a clock that the tests set: no time of the machine counts."""

import dataclasses
import itertools
import math
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from layerbits import MeasurementSettings, layer_information
from layerbits.estimators import Problem, all_layers, layer_measurement, layer_rounds, layer_sample, round_schedule
from layerbits.estimators.layer_rounds import LayerRounds
from layerbits.estimators.round_outlook import Effort, Outlook, Round
from layerbits.estimators.round_schedule import next_layer, run_rounds
from layerbits.networks import read_inputs
from layerbits.statistics import Interval
from tests.support.networks import INPUTS, noisy_identities, three_tanh_layers

NETWORK = noisy_identities(4, inputs=INPUTS)
PROBLEM = Problem.of(NETWORK, read_inputs(INPUTS, NETWORK))


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer whose half width falls by a ratio each time its number of draws doubles, from that at 32 draws.

    A round takes `seconds` for 32 draws, and twice as long for twice as many.
    """

    half_width: float
    ratio: float
    limited_by: str = "decoder"
    seconds: float = 1.0


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    for module in (all_layers, layer_rounds, round_schedule):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def run(monkeypatch, clock):
    """Return a function that runs the rounds of layers; it returns the layers and the order of their further rounds."""

    def run(*layers, tolerance=0.1, max_seconds=1e9, max_draws=2**20):
        by_name = dict(zip(PROBLEM.parts, layers, strict=False))
        order = []

        def sample(problem, names, draws, queries, seed):
            order.append(*names)
            return {names[0]: SimpleNamespace(draws=draws, queries=queries)}

        def estimate(problem, name, samples, risk, seed, shares):
            layer, growth = by_name[name], samples[0].draws / 32
            clock.now += layer.seconds * growth
            return estimates(2 * layer.half_width * layer.ratio ** math.log2(growth), layer.limited_by)

        monkeypatch.setattr(layer_rounds, "sample_layers", sample)
        monkeypatch.setattr(layer_rounds, "estimate_layer", estimate)
        settings = MeasurementSettings(32, 4, tolerance=tolerance, max_seconds=max_seconds, max_draws=max_draws)
        rounds = {name: LayerRounds(PROBLEM, settings, name, settings.risk) for name in by_name}
        for name in rounds:
            rounds[name].measure([SimpleNamespace(draws=32, queries=4)], 0.0, str)
        run_rounds(rounds, max_seconds, str, lambda: None)
        return list(rounds.values()), [list(PROBLEM.parts).index(name) for name in order]

    return run


def estimates(width, limited_by):
    """Return an estimate of I(X;T) whose width is the gap between its bounds."""
    interval = Interval(0, width)
    return {"I(X;T)": SimpleNamespace(interval=interval, plug_in=width + 1, decoded=-1, limited_by=limited_by)}


def shortfall(rounds):
    (measurement,) = rounds.measurements.values()
    return "" if measurement.shortfall is None else measurement.shortfall.note[1]


def test_layer_that_cannot_succeed_does_not_take_the_time_of_one_that_can(run):
    """The second layer needs 2 + 4 + 8 seconds after the first rounds, and the limit allows no more."""
    (hopeless, other), order = run(Layer(3, 1.0), Layer(0.4, 0.5, "draws"), max_seconds=16.5, tolerance=0.05)
    assert order == [1, 1, 1]
    assert other.is_narrow
    assert shortfall(other) == ""
    assert shortfall(hopeless) == (
        "tolerance 0.05 not reached within max_seconds 16.5, limited by decoder: raise max_seconds"
    )


def test_layer_that_narrows_less_than_theory_says_has_one_round_before_those_that_can_succeed(run):
    """The wide layer promises a large reduction, because draws limit it; its second round shows the true rate."""
    (wide, narrow), order = run(Layer(3, 0.99, "draws"), Layer(0.2, 0.5, "draws"), tolerance=0.05, max_draws=4096)
    assert order[:3] == [0, 1, 1]
    assert set(order[3:]) == {0}
    assert narrow.is_narrow
    assert shortfall(wide) == (
        "tolerance 0.05 not reached within max_draws 4096, limited by draws: "
        "the last round narrowed it by 1%, raise max_draws, tolerance or sigma"
    )


def test_where_the_time_suffices_for_one_of_three_layers_one_reaches_the_tolerance(run):
    """Each needs 2 + 4 + 8 seconds; equal turns would end with all three at 2 + 4."""
    layers, order = run(*[Layer(0.4, 0.5, "draws")] * 3, tolerance=0.05, max_seconds=3 + 14 + 7)
    assert [rounds.is_narrow for rounds in layers] == [True, False, False]
    assert order[:3] == [0, 0, 0]


def test_time_that_no_layer_can_use_to_the_end_still_narrows_intervals(run):
    (rounds,), order = run(Layer(3, 0.9), max_seconds=8.0)
    assert order == [0, 0]
    assert shortfall(rounds).endswith("raise max_seconds")


@pytest.mark.parametrize(("fast", "slow"), [("fast", "slow"), ("slow", "fast")])
def test_next_round_goes_to_the_greatest_reduction_a_second(fast, slow):
    outlooks = {
        fast: Outlook(seconds=1.0, seconds_to_tolerance=10.0, reduction=0.2, has_known_rate=True),
        slow: Outlook(seconds=4.0, seconds_to_tolerance=10.0, reduction=0.4, has_known_rate=True),
    }
    assert next_layer(outlooks, seconds_left=100.0) == fast
    assert next_layer(outlooks | {slow: dataclasses.replace(outlooks[slow], reduction=0.9)}, 100.0) == slow


def test_layers_that_may_succeed_come_before_those_that_cannot():
    outlooks = {
        "never": Outlook(seconds=1.0, seconds_to_tolerance=math.inf, reduction=9.0, has_known_rate=True),
        "late": Outlook(seconds=1.0, seconds_to_tolerance=20.0, reduction=2.0, has_known_rate=True),
        "unknown": Outlook(seconds=1.0, seconds_to_tolerance=math.inf, reduction=1.0, has_known_rate=False),
        "soon": Outlook(seconds=1.0, seconds_to_tolerance=9.0, reduction=0.01, has_known_rate=True),
    }
    order = []
    while outlooks:
        order.append(next_layer(outlooks, seconds_left=10.0))
        del outlooks[order[-1]]
    assert order == ["soon", "late", "unknown", "never"]


def test_rounds_of_a_layer_do_not_depend_on_the_time_of_others_if_time_does_not_limit(run):
    layers = Layer(3, 0.8), Layer(0.4, 0.5, "draws"), Layer(1.0, 0.75), Layer(2.0, 1.0)
    orders, efforts = set(), set()
    for seconds in itertools.permutations((0.01, 1.0, 30.0, 200.0)):
        timed = [dataclasses.replace(layer, seconds=time) for layer, time in zip(layers, seconds, strict=True)]
        results, order = run(*timed, max_draws=4096)
        orders.add(tuple(order))
        efforts.add(tuple(tuple(finished.effort for finished in rounds.rounds) for rounds in results))
    assert len(orders) > 1
    assert len(efforts) == 1


def test_expected_time_includes_the_passes(run, clock, monkeypatch):
    """One round of 32 draws takes 1 second after passes of 10; a round of 64 draws takes 22, more than are left."""
    settings = MeasurementSettings(32, 4, tolerance=0.1, max_seconds=25)
    run()  # replaces the passes and the estimates
    monkeypatch.setattr(layer_rounds, "estimate_layer", lambda *_: estimates_of_a_second(clock))
    rounds = LayerRounds(PROBLEM, settings, "0", settings.risk)
    rounds.measure([SimpleNamespace(draws=32, queries=4)], 10.0, str)
    assert rounds.outlook().seconds == 22
    assert rounds.limit(21.9) == "max_seconds 25"
    assert rounds.limit(22.1) == ""
    assert rounds.seconds == 1


def estimates_of_a_second(clock):
    clock.now += 1
    return estimates(2, "draws")


def outlook(*rounds, tolerance=0.1):
    """Return the outlook after rounds, as pairs of an effort and (half width, gap, cause), with 4096 draws at most."""
    finished = [Round(effort, *result, 1e-3, 2.0, 1.0) for effort, result in rounds]
    return Outlook.of(finished, lambda effort, cause: effort.larger(cause, 4096, 2**20), lambda _: 1e-3, tolerance)


def test_width_by_queries_is_expected_to_fall_like_the_root_of_their_number():
    """From .39 to .1 nats takes 16 times as many queries: rounds of 4, 6, 10 and 18 seconds, 2 of each for passes."""
    course = outlook((Effort(1, 4), (0.39, 0.0, "queries")))
    assert course.has_known_rate
    assert course.reduction == pytest.approx(0.39 - 0.39 / math.sqrt(2))
    assert course.seconds == 2 + 2
    assert course.seconds_to_tolerance == pytest.approx(4 + 6 + 10 + 18)


def test_gap_is_expected_to_fall_as_in_the_last_round_with_more_draws():
    """A gap that fell by the factor .8 with twice as many draws takes more than 4096 draws to fall from 1 to .2."""
    rounds = [(Effort(32, 4), (0.625, 1.25, "draws")), (Effort(64, 4), (0.5, 1.0, "draws"))]
    course = outlook(*rounds)
    assert course.has_known_rate
    assert course.reduction == pytest.approx(0.5 - 0.4)
    assert course.seconds_to_tolerance == math.inf
    assert outlook(rounds[1], tolerance=0.25).seconds_to_tolerance == 2 * 2 + 2


def test_gap_of_a_decoder_has_no_known_rate_after_the_first_round_if_it_exceeds_the_tolerance():
    assert not outlook((Effort(32, 4), (0.5, 0.9, "decoder"))).has_known_rate
    assert outlook((Effort(32, 4), (0.11, 0.1, "queries"))).has_known_rate
    assert not outlook((Effort(32, 4), (0.3, 0.25, "queries"))).has_known_rate


# Through the public function


def test_numbers_do_not_depend_on_the_speed_of_the_machine_if_time_does_not_limit(monkeypatch):
    """A clock that runs at random changes the order of the rounds of three layers, and no number."""
    orders, tables = set(), []
    sample_layers = layer_sample.sample_layers
    for seed in range(4):
        generator, now, order = np.random.default_rng(seed), [0.0], []

        def monotonic(generator=generator, now=now):
            now[0] += float(generator.exponential())
            return now[0]

        def sample(problem, names, *arguments, order=order):
            order.append(names)
            return sample_layers(problem, names, *arguments)

        for module in (all_layers, layer_rounds, round_schedule):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=monotonic))
        monkeypatch.setattr(layer_rounds, "sample_layers", sample)
        options = {"draws": 16, "queries": 4, "tolerance": 0.2, "max_draws": 128, "max_seconds": 1e9}
        table = layer_information(three_tanh_layers(), INPUTS, **options, estimator="draws")
        tables.append([dataclasses.replace(row, seconds=0.0) for row in table])
        orders.add(tuple(order))
    assert len(orders) > 1
    assert all(table == tables[0] for table in tables)


def test_layer_whose_borrowed_end_widens_in_a_round_of_its_lender_has_a_round_of_its_own(monkeypatch):
    """Layer 5 is narrow by the first end of layer 3, and wide by its second one, which is its last."""
    further_rounds = []
    ends = {"1": [(1.0, 9.0)], "3": [(1.0, 0.3), (0.3, 9.0)], "5": [(1.0, 9.0), (0.3, 9.0)]}

    def sample(problem, names, *arguments):
        further_rounds.append(*names)
        return layer_sample.sample_layers(problem, names, *arguments)

    def estimate(problem, name, *arguments):
        estimates = layer_measurement.estimate_layer(problem, name, *arguments)
        own, lent = ends[name].pop(0)
        lower = 0.7 if name == "1" else 0.0
        information = dataclasses.replace(estimates["I(X;T)"], interval=Interval(lower, own), lent=Interval(0, lent))
        return {**estimates, "I(X;T)": information}

    monkeypatch.setattr(layer_rounds, "sample_layers", sample)
    monkeypatch.setattr(layer_rounds, "estimate_layer", estimate)
    table = layer_information(
        three_tanh_layers(), INPUTS, draws=16, queries=4, tolerance=0.2, max_draws=4096, estimator="draws"
    )
    assert further_rounds == ["3", "5"]
    assert table["5", "I(X;T)"].upper - table["5", "I(X;T)"].lower <= 0.4


def test_samples_of_one_group_are_held_at_a_time_and_later_of_one_layer(monkeypatch):
    samples, held = weakref.WeakSet(), []

    def sample(problem, names, *arguments):
        assert not samples, "the samples of another group are held"
        by_name = layer_sample.sample_layers(problem, names, *arguments)
        samples.update(by_name.values())
        return by_name

    def estimate(*arguments):
        held.append(len(samples))
        return layer_measurement.estimate_layer(*arguments)

    # A sample of its own hash: weak sets compare by identity.
    monkeypatch.setattr(layer_sample.LayerSample, "__hash__", object.__hash__)
    monkeypatch.setattr(layer_sample.LayerSample, "__eq__", object.__eq__)
    for module in (all_layers, layer_rounds):
        monkeypatch.setattr(module, "sample_layers", sample)
    monkeypatch.setattr(layer_rounds, "estimate_layer", estimate)
    groups = [("1", "3"), ("5",)]
    monkeypatch.setattr(all_layers, "part_groups", lambda *_: iter(groups))
    layer_information(three_tanh_layers(), INPUTS, draws=16, queries=4, tolerance=0.2, max_draws=32, estimator="draws")
    assert held[:3] == [2, 1, 1]
    assert len(held) > 4
    assert set(held[3:]) == {1}
