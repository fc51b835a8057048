"""Which level runs: the best by default, a named one on request, a lower one by LAYERBITS_MAX_ISA, never a higher."""

import subprocess
import sys

import numpy as np
import pytest

from layerbits.kernels import _cpu, backends
from tests.support.exact_mixture import LEVELS, native

POINTS, CENTERS = np.zeros((1, 1)), np.ones((1, 1))
X86 = ["sse2", "avx2", "avx512"]
only_x86 = pytest.mark.skipif(LEVELS[-1] != "sse2", reason="names levels of x86-64; this machine is another")


@pytest.fixture(autouse=True)
def no_cap(monkeypatch):
    monkeypatch.delenv("LAYERBITS_MAX_ISA", raising=False)


def test_floor_of_the_architecture_is_always_there():
    assert LEVELS[-1] in {"sse2", "neon"}


def test_best_level_runs_by_default():
    assert _cpu.level() == LEVELS[0]


def test_levels_are_sorted_best_first():
    order = ["neon", *X86]
    assert sorted(LEVELS, key=order.index, reverse=True) == LEVELS


@only_x86
@pytest.mark.parametrize("cap", X86)
def test_cap_lowers_to_the_best_level_under_it(monkeypatch, cap):
    monkeypatch.setenv("LAYERBITS_MAX_ISA", cap)
    assert _cpu.level() == next(level for level in LEVELS if X86.index(level) <= X86.index(cap))


def test_empty_cap_is_no_cap(monkeypatch):
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "")
    assert _cpu.level() == LEVELS[0]


@pytest.mark.parametrize("cap", ["avx1024", "AVX2", "avx2 ", "1"])
def test_unknown_cap_is_an_error_in_a_kernel(monkeypatch, cap):
    monkeypatch.setenv("LAYERBITS_MAX_ISA", cap)
    with pytest.raises(ValueError, match="LAYERBITS_MAX_ISA: got"):
        native(POINTS, CENTERS, 1.0)


def test_unknown_cap_is_an_error_in_the_report_of_back_ends(monkeypatch):
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "avx1024")
    with pytest.raises(ValueError, match="LAYERBITS_MAX_ISA: got"):
        backends()


@only_x86
@pytest.mark.skipif(len(LEVELS) < 2, reason="has one level only")
def test_capped_kernel_gives_the_bits_of_the_lower_level(monkeypatch):
    # SSE2 rounds a product that the others fuse, so among 1000 rows some bits differ.
    points, centers = np.random.default_rng(0).standard_normal((2, 1000, 3))
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "sse2")
    capped = native(points, centers, 0.5)
    monkeypatch.delenv("LAYERBITS_MAX_ISA")
    np.testing.assert_array_equal(capped, native(points, centers, 0.5, level="sse2"))
    assert (capped != native(points, centers, 0.5)).any()


def test_cap_set_before_the_start_is_seen():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import _cpu; print(_cpu.level())"
    folder = _cpu.__file__.rpartition("/")[0]
    output = subprocess.run(
        [sys.executable, "-c", code, folder],
        env={"LAYERBITS_MAX_ISA": LEVELS[-1]},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert output.stdout.strip() == LEVELS[-1]


@pytest.mark.parametrize("level", ["avx1024", "AVX2", " ", "best"])
def test_unknown_level_is_an_error_that_lists_the_known(level):
    with pytest.raises(ValueError, match=f"level: got '{level}', wanted one of {', '.join(LEVELS)}"):
        native(POINTS, CENTERS, 1.0, level=level)


def test_named_level_may_exceed_the_cap(monkeypatch):
    # The cap is for users; a test or a benchmark that names a level means it.
    monkeypatch.setenv("LAYERBITS_MAX_ISA", LEVELS[-1])
    assert native(POINTS, CENTERS, 1.0, level=LEVELS[0])[0] == native(POINTS, CENTERS, 1.0)[0]


def test_report_of_back_ends_names_the_level():
    assert f"{LEVELS[0]} in use" in backends()[0].isa
