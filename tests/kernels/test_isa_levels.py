"""The ISA level: the best level by default, another level by name, and a lower level by LAYERBITS_MAX_ISA."""

import os
import subprocess
import sys

import numpy as np
import pytest

from layerbits.kernels import _cpu, backends
from tests.support.native_calls import LEVELS, log_sum_exp

pytestmark = pytest.mark.cpu_only("levels")

POINTS, CENTERS = np.zeros((1, 1)), np.ones((1, 1))
X86 = ["sse2", "avx2", "avx512"]
NEEDS_X86 = pytest.mark.skipif(LEVELS[-1] != "sse2", reason="needs the levels of x86-64")


@pytest.fixture(autouse=True)
def unset_max_isa(monkeypatch):
    monkeypatch.delenv("LAYERBITS_MAX_ISA", raising=False)


def test_baseline_of_the_architecture_is_always_usable():
    assert LEVELS[-1] in {"sse2", "neon"}


def test_best_level_is_the_default():
    assert _cpu.level() == LEVELS[0]


def test_levels_are_sorted_from_best_to_lowest():
    order = ["neon", *X86]
    assert sorted(LEVELS, key=order.index, reverse=True) == LEVELS


@NEEDS_X86
@pytest.mark.parametrize("max_isa", X86)
def test_max_isa_is_an_upper_limit_of_the_level(monkeypatch, max_isa):
    monkeypatch.setenv("LAYERBITS_MAX_ISA", max_isa)
    assert _cpu.level() == next(level for level in LEVELS if X86.index(level) <= X86.index(max_isa))


def test_empty_max_isa_has_no_effect(monkeypatch):
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "")
    assert _cpu.level() == LEVELS[0]


@pytest.mark.parametrize("max_isa", ["avx1024", "AVX2", "avx2 ", "1"])
def test_unknown_max_isa_is_an_error_of_a_kernel(monkeypatch, max_isa):
    monkeypatch.setenv("LAYERBITS_MAX_ISA", max_isa)
    with pytest.raises(ValueError, match="LAYERBITS_MAX_ISA: got"):
        log_sum_exp(POINTS, CENTERS, 1.0)


def test_unknown_max_isa_is_an_error_of_backends(monkeypatch):
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "avx1024")
    with pytest.raises(ValueError, match="LAYERBITS_MAX_ISA: got"):
        backends()


@NEEDS_X86
@pytest.mark.skipif(len(LEVELS) < 2, reason="needs two levels")
def test_lowered_level_gives_the_bits_of_that_level(monkeypatch):
    # SSE2 rounds products that the other levels fuse, so some bits of 1000 rows differ.
    points, centers = np.random.default_rng(0).standard_normal((2, 1000, 3))
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "sse2")
    log_sum = log_sum_exp(points, centers, 0.5)
    monkeypatch.delenv("LAYERBITS_MAX_ISA")
    np.testing.assert_array_equal(log_sum, log_sum_exp(points, centers, 0.5, level="sse2"))
    assert (log_sum != log_sum_exp(points, centers, 0.5)).any()


def test_max_isa_set_before_the_start_has_effect():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import _cpu; print(_cpu.level())"
    folder = _cpu.__file__.rpartition("/")[0]
    output = subprocess.run(
        [sys.executable, "-c", code, folder],
        env=os.environ | {"LAYERBITS_MAX_ISA": LEVELS[-1]},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert output.stdout.strip() == LEVELS[-1]


@pytest.mark.parametrize("level", ["avx1024", "AVX2", " ", "best"])
def test_unknown_level_is_an_error_that_lists_the_levels(level):
    with pytest.raises(ValueError, match=f"level: got '{level}', wanted one of {', '.join(LEVELS)}"):
        log_sum_exp(POINTS, CENTERS, 1.0, level=level)


@NEEDS_X86
@pytest.mark.skipif(len(LEVELS) < 2, reason="needs two levels")
def test_named_level_may_exceed_max_isa(monkeypatch):
    # LAYERBITS_MAX_ISA is for users; tests and benchmarks choose levels by name.
    points, centers = np.random.default_rng(0).standard_normal((2, 1000, 3))
    expected = log_sum_exp(points, centers, 0.5)
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "sse2")
    np.testing.assert_array_equal(log_sum_exp(points, centers, 0.5, level=LEVELS[0]), expected)
    assert (log_sum_exp(points, centers, 0.5) != expected).any()


def test_backends_names_the_level():
    assert f"{LEVELS[0]} in use" in backends()[0].isa
