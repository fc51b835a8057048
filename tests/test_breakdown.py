"""Where the time goes: the phases are those of the estimator, and add up to its time."""

import time

from benchmarks.breakdown import breakdown, trained


def test_phases_take_time_and_no_more_than_there_is():
    noisy, inputs, labels = trained(epochs=0)
    started = time.perf_counter()
    found = breakdown(noisy, inputs[:100], labels[:100], draws=2, queries=2)
    assert list(found) == ["propagation", "reduction of dimension", "kernels", "rest"]
    assert min(found.values()) > 0
    assert sum(found.values()) <= time.perf_counter() - started
