"""Kernels and files under limits of the system: address space, descriptors, and a clock that is set back."""

import json
import os
import resource
import time

import pytest

from layerbits._base import UsageError, write_csv
from layerbits.experiments import Configuration, RunFolder
from tests.support.fresh_process import run_fresh

THREADS = """
import os, resource
points = np.random.default_rng(0).standard_normal((1500, 3))
expected = native(points, points, 0.5, threads=1)
pages = int(open("/proc/self/statm").read().split()[0])
others = len(os.listdir("/proc/self/task")) - 1  # those of NumPy's linear algebra
for mebibytes in (1, 9, 20, 40):  # the stack of a thread takes 8
    limit = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    print(bool((native(points, points, 0.5, threads=8) == expected).all()), len(os.listdir("/proc/self/task")) - others)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads and memory are read in /proc")
def test_kernel_uses_the_threads_that_the_system_grants():
    rows = [line.split() for line in run_fresh(THREADS)]
    assert [equal for equal, _ in rows] == ["True"] * 4
    counts = [int(count) for _, count in rows]
    assert counts[0] == 1
    assert counts == sorted(counts)
    assert counts[-1] > 1


def test_file_that_lacks_a_descriptor_is_named(tmp_path):
    limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = [os.open(os.devnull, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used[0] + 1, hard_limit))
        with pytest.raises(UsageError, match=r"\.table\.csv\.sha256: cannot be written to \(Too many open files\)"):
            write_csv(tmp_path / "table.csv", ["a"], [(1,)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard_limit))
        os.close(used[0])
    write_csv(tmp_path / "table.csv", ["a"], [(1,)])


def test_times_are_not_negative_after_the_clock_is_set_back(tmp_path, monkeypatch):
    clock = iter(range(10**6, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    folder = RunFolder(tmp_path, experiment="szt-tanh", config=Configuration(), resume=False)
    with folder.running(), folder.phase("training"), folder.phase("measurements"):
        pass
    timings = json.loads((tmp_path / "run.json").read_text())["timings"]
    assert set(timings) == {"training", "measurements"}
    assert all(0 <= seconds < 60 for seconds in timings.values())
