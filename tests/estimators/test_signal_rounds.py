"""`information` with a tolerance: rounds of more queries, the limits that end them, and their confidence."""

import itertools

import pytest
import torch

import layerbits as lb
from layerbits.estimators import signal_rounds
from tests.support.answers import BPSK
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.networks import INPUTS, LABELS, tanh_mlp
from tests.support.random_arrays import normal_tensor

SIGNALS = normal_tensor(20, 3)
DRAWS = SIGNALS[:, None] + 0.3 * normal_tensor(20, 32, 3, seed=1)


def half_width(row):
    return (row.upper - row.lower) / 2


def test_queries_of_a_known_channel_are_added_until_the_interval_is_narrow():
    wide = lb.information(SIGNALS, 0.5, queries=4)["signals", "I(X;T)"]
    narrow = lb.information(SIGNALS, 0.5, queries=4, tolerance=0.02)["signals", "I(X;T)"]
    assert half_width(narrow) <= 0.02 < half_width(wide)
    assert narrow.flags == ()


def test_rounds_are_those_of_a_network_without_noise():
    model = tanh_mlp(4, 3, 2, dtype=torch.float64)
    activations = lb.layer_activations(model, INPUTS)
    options = {"queries": 4, "tolerance": 0.05, "seed": 3}
    expected = lb.layer_information(model, INPUTS, LABELS, sigma=0.5, **options)["1", "I(X;T)"]
    row = lb.information(activations, 0.5, LABELS, **options)["1", "I(X;T)"]
    # Signals in float64 differ by rounding, some 1e-15; a log density has a slope below 1e3 here.
    assert (row.lower, row.upper) == pytest.approx((expected.lower, expected.upper), abs=1e-10)


def test_draws_in_hand_limit_the_queries():
    row = lb.information(DRAWS, 0.5, queries=2, tolerance=1e-3)["signals", "I(X;T)"]
    assert row.flags[-1] == "tolerance_missed"
    assert row.note.endswith(": pass more draws")
    assert "32 draws of a row" in row.note
    assert half_width(row) > 1e-3


def test_more_queries_are_taken_from_the_draws_in_hand(monkeypatch):
    numbers = []
    measurements = signal_rounds.SignalRounds._measurements

    def recorded(rounds, samples, number):
        numbers.append((number, samples[0].queries, samples[0].draws))
        return measurements(rounds, samples, number)

    monkeypatch.setattr(signal_rounds.SignalRounds, "_measurements", recorded)
    lb.information(DRAWS, 3.0, queries=2, tolerance=1e-3)
    assert numbers[:2] == [(1, 2, 32), (2, 4, 32)]
    assert all(queries <= 16 for _, queries, _ in numbers)


def test_seconds_limit_the_rounds_of_all_layers(monkeypatch):
    clock = itertools.count(step=10)
    monkeypatch.setattr(signal_rounds.time, "monotonic", lambda: next(clock))
    table = lb.information({"a": SIGNALS, "b": SIGNALS}, 0.5, queries=2, tolerance=1e-3, max_seconds=25)
    for layer in ("a", "b"):
        assert "max_seconds 25, limited by queries: raise max_seconds" in table[layer, "I(X;T)"].note


def test_intervals_of_rounds_contain_the_true_value_at_their_level():
    """Intervals of 90 % miss too often with a probability of at most 1e-6."""
    points = torch.tensor([[-1.0], [1.0]])

    def misses_of(seeds):
        for seed in seeds:
            table = lb.information(points, 0.5, queries=100, tolerance=0.05, confidence=0.9, seed=seed)
            row = table["signals", "I(X;T)"]
            assert half_width(row) <= 0.05
            if not row.lower <= BPSK[0.5] <= row.upper:
                yield "I(X;T)"

    assert excess_misses(misses_of, allowed_misses(60, 0.1, 1e-6)) == {}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"tolerance": 0.0}, ValueError, "^tolerance: got 0"),
        ({"max_seconds": -1.0}, ValueError, "^max_seconds: got -1"),
        ({"devices": ["cuda:0"]}, ValueError, r"^devices: got \['cuda:0'\] for values on the cpu"),
        ({"devices": "cuda:0"}, TypeError, "^devices: got 'cuda:0', wanted a sequence"),
    ],
)
def test_option_without_a_meaning_is_refused_by_name(options, error, words):
    with pytest.raises(error, match=words):
        lb.information(SIGNALS, 0.5, **options)
