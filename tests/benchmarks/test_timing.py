"""Rounds, spreads and targets of the benchmarks."""

import time

import pytest

from benchmarks.harness import Rounds, Target, measure, ratio


def test_nothing_is_timed_if_the_check_fails():
    calls = []

    def refuse(results):
        raise AssertionError("refused")

    with pytest.raises(AssertionError, match="refused"):
        measure({"method": lambda: calls.append(1)}, refuse, Rounds(3))
    assert len(calls) == 1


def test_methods_run_alternately():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    measure(calls, lambda results: order.clear(), Rounds(2, min_seconds=0))
    assert order == ["a", "b", "a", "b"]


def test_a_slow_first_call_does_not_reduce_the_number_of_calls():
    calls = []

    def compile_at_the_first_call():
        if not calls:
            time.sleep(0.1)
        calls.append(1)

    measure({"method": compile_at_the_first_call}, lambda results: None, Rounds(1, min_seconds=0.05))
    assert len(calls) > 10  # the first call alone would give one call in the round


def test_no_second_round_begins_after_the_time_limit():
    seconds = measure({"a": lambda: None}, lambda results: None, Rounds(3, min_seconds=0, max_seconds=0))
    assert len(seconds["a"]) == 1


def test_ratio_is_computed_for_each_round():
    spread = ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0])
    assert (spread.median, spread.minimum, spread.maximum) == (3.0, 2.0, 4.0)


@pytest.mark.parametrize(("at_most", "met"), [(False, [False, True, True]), (True, [True, True, False])])
def test_target_is_met_at_the_wanted_number_and_on_one_side(at_most, met):
    assert [Target("rate", measured, 2.0, at_most).met for measured in (1.0, 2.0, 3.0)] == met
