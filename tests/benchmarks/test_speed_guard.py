"""The speed guard of CI."""

import pytest

from benchmarks.harness import Rounds, Spread
from benchmarks.suites import speed_guard
from benchmarks.suites.speed_guard import Case, cases, main, verdict


@pytest.fixture
def ratios(monkeypatch):
    """Replace the measured ratios by those of a list, one for each trial of a case."""
    pending = []
    monkeypatch.setattr(speed_guard, "ratio", lambda torch, layerbits: Spread(*[pending.pop(0)] * 3, 1))
    return pending


def case(wanted):
    return Case("kernel", lambda: None, lambda: None, wanted)


@pytest.mark.parametrize(
    ("trials", "status", "line"), [([2], 0, "fast enough: kernel"), ([1, 1], 1, "TOO SLOW: kernel")]
)
def test_status_is_1_only_if_a_kernel_is_too_slow_in_both_trials(monkeypatch, capsys, ratios, trials, status, line):
    ratios += trials
    monkeypatch.setattr(speed_guard, "cases", lambda level: [case(1.5)])
    monkeypatch.setattr(speed_guard, "_ROUNDS", Rounds(1, min_seconds=0))
    assert main([]) == status
    assert capsys.readouterr().out.startswith(line)


def test_guard_measures_a_slow_case_twice(ratios):
    ratios += [1, 2]
    is_fast, _ = verdict(case(1.5), Rounds(1, min_seconds=0))
    assert is_fast
    assert ratios == []


def test_ratio_is_the_time_of_torch_over_that_of_layerbits(monkeypatch):
    monkeypatch.setattr(speed_guard, "measure", lambda calls, check, rounds: {"layerbits": [1.0], "torch": [3.0]})
    assert verdict(case(2.9))[0]
    assert not verdict(case(3.1))[0]


@pytest.mark.parametrize(("level", "share"), [("avx512", 1.0), ("avx2", 0.5), ("sse2", 0.25)])
def test_wanted_ratio_of_a_level_is_in_proportion_to_its_lanes(level, share):
    wanted = {case.name.split(", ", 1)[1]: case.wanted for case in cases(level)}
    at_avx512 = {"float32, d = 5": 30, "float32, d = 10": 30, "float32, d = 16": 15, "float64, d = 10": 20}
    assert wanted == {name: share * ratio for name, ratio in at_avx512.items()}
