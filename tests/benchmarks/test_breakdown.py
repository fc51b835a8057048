"""Where the time goes: the phases are those of the estimator, and add up to its time."""

import time

import pytest

from benchmarks import breakdown as module
from benchmarks.accuracy import ResultError
from benchmarks.breakdown import breakdown, over_plug_in, trained
from benchmarks.timing import Rounds


def test_phases_take_time_and_no_more_than_there_is():
    noisy, inputs, labels = trained(epochs=0)
    started = time.perf_counter()
    found = breakdown(noisy, inputs[:100], labels[:100], draws=2, queries=2)
    assert list(found) == ["propagation", "reduction of dimension", "plug-in", "decoders and intervals", "rest"]
    assert min(found.values()) > 0
    assert sum(found.values()) <= time.perf_counter() - started


def test_intervals_are_compared_with_their_own_plug_in(monkeypatch):
    noisy, inputs, labels = trained(epochs=0)
    given = noisy, inputs[:100], labels[:100]
    seconds, over = over_plug_in(*given, draws=4, rounds=Rounds(1, least_seconds=0))
    assert seconds > 0
    assert over.rounds == 1
    monkeypatch.setattr(module, "_plug_in", lambda *_: 0.0)
    with pytest.raises(ResultError, match="plug-in alone"):
        over_plug_in(*given, draws=4, rounds=Rounds(1, least_seconds=0))
