"""The CUDA benchmark runs to its end with errors within the bound, at sizes too small to measure speed."""

import json
import time

import pytest
import torch

from benchmarks import cuda


class Event:
    """A CUDA event by the clock of the host."""

    def __init__(self, *, enable_timing):
        self.enable_timing = enable_timing

    def record(self):
        self.time = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return 1000 * (end.time - self.time)


@pytest.fixture
def _events(monkeypatch):
    if hasattr(torch.ops.layerbits_stand_in, "copies_to_host"):
        monkeypatch.setattr(torch.cuda, "Event", Event)


@pytest.mark.usefixtures("_events")
def test_benchmark_runs_to_its_end_within_the_error_bound(tmp_path, monkeypatch, capsys):
    noisy, inputs, labels = cuda.trained_szt_network(1)
    monkeypatch.setattr(cuda, "trained_szt_network", lambda epochs: (noisy, inputs[:20], labels[:20]))
    monkeypatch.setattr(cuda, "DRAWS", 2)
    monkeypatch.setattr(cuda, "CHAIN_STEPS", 4)
    path = tmp_path / "cuda.json"
    sizes = ["--points", "65", "--centers", "40", "--rounds", "1", "--epochs", "1"]
    assert cuda.main([str(path), *sizes]) == 0
    document = json.loads(path.read_text())
    assert [(row["dtype"], row["d"]) for row in document["dense"]] == [
        (str(dtype).removeprefix("torch."), d) for dtype, d in cuda.CASES
    ]
    assert all(row["error"] <= 1 for row in document["dense"])
    assert min(document["kernels"].values()) > 0
    assert "targets missed: " in capsys.readouterr().out
