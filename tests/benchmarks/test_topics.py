"""Topics of the benchmarks: breakdown, distances, memory and roofline."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.harness import Rounds
from benchmarks.methods import ResultError
from benchmarks.problems import trained_szt_network
from benchmarks.topics import breakdown, distances, memory, roofline
from layerbits.kernels.back_ends import cpu
from tests.support.fresh_process import run_fresh


@pytest.fixture(scope="module")
def network():
    noisy, inputs, labels = trained_szt_network(epochs=0)
    return noisy, inputs[:100], labels[:100]


def test_sum_of_the_phases_is_at_most_the_time_of_the_measurement(network):
    start = time.perf_counter()
    seconds = breakdown.measure_phases(*network, draws=2, queries=2)
    assert list(seconds) == ["propagation", "reduction of dimension", "plug-in", "decoders and intervals", "rest"]
    assert min(seconds.values()) > 0
    assert sum(seconds.values()) <= time.perf_counter() - start


def test_plug_in_is_compared_with_that_of_layer_information(network, monkeypatch):
    seconds, over = breakdown.time_over_plug_in(*network, draws=4, rounds=Rounds(1, min_seconds=0))
    assert seconds > 0
    assert over.rounds == 1
    monkeypatch.setattr(breakdown, "_plug_in", lambda *_: 0.0)
    with pytest.raises(ResultError, match="the plug-in alone differs"):
        breakdown.time_over_plug_in(*network, draws=4, rounds=Rounds(1, min_seconds=0))


def test_targets_of_distances_are_seconds_and_the_ratio_to_scipy(monkeypatch, capsys):
    monkeypatch.setattr(distances, "QUICK", 150)
    monkeypatch.setattr(distances, "Rounds", lambda repeats, **_: Rounds(1, min_seconds=0))
    assert distances.main(["--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0].split(", ")[-1].split()[0] for line in lines] == ["seconds", "over"]


def test_wrong_distances_are_refused(monkeypatch):
    wrong_histogram = np.linspace(1, 0, distances.BINS)
    monkeypatch.setattr(distances, "layerbits_histogram", lambda points: wrong_histogram)
    with pytest.raises(AssertionError, match="shares of pairs differ"):
        next(distances.targets(50, Rounds(1, min_seconds=0)))


def test_memory_beyond_the_inputs_includes_temporary_arrays():
    # In a new process, because memory that earlier tests hold and free in between would change the result.
    script = """
        sys.path.insert(0, sys.argv[2])
        import torch
        from benchmarks.topics import memory

        def log_sums(points, **_):
            torch.ones(len(points), 2**10)
            return torch.zeros(len(points))

        memory.log_sum_exp_isotropic = log_sums
        print(memory._growth(8, 2**14, 2, "dense"))
        """
    (growth,) = map(int, run_fresh(script, Path(memory.__file__).parents[2]))
    assert growth > 4 * 2**14 * 2**10 - 2**20  # the system counts pages in batches below a megabyte


def test_roof_is_the_slower_of_multiply_adds_and_all_instructions():
    # A pair in float32 and d = 10 needs 18 multiply-adds and 17.125 other instructions.
    assert roofline.roof(10, "float32", 18.0, 2.0) == 1.0
    assert roofline.roof(10, "float32", 35.125, 1.0) == 1.0


def test_roof_of_every_level_is_measured(monkeypatch):
    monkeypatch.setattr(roofline, "_PIECES", 64)
    rows = roofline.measure_roofline(torch.float32, n=64, m=64, rounds=Rounds(1, min_seconds=0))
    assert [row.level for row in rows] == cpu().levels()
    assert all(0 < row.rate < row.roof for row in rows)
