"""Calls and files under limits of the system: address space, threads, descriptors, sizes, a clock that is set back."""

import json
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import layerbits as lb
from layerbits._base import UsageError, write_csv
from layerbits.cli import main
from layerbits.experiments import Configuration, RunFolder
from layerbits.networks.passes import recorder
from tests.support.fork_server import FORK_SERVER
from tests.support.fresh_process import run_fresh
from tests.support.networks import tanh_mlp
from tests.support.tiny_run import TINY_RUN

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


def start_no_thread(*_):
    raise RuntimeError("can't start new thread")


@pytest.mark.usefixtures("one_thread")
def test_measurement_with_one_thread_needs_no_other(monkeypatch):
    model = lb.noisify(tanh_mlp(3, 2, 2), sigma=0.5)
    expected = lb.layer_information(model, torch.eye(3), draws=4, queries=2)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", start_no_thread)
    table = lb.layer_information(model, torch.eye(3), draws=4, queries=2)
    assert [row.value for row in table] == [row.value for row in expected]


def test_lack_of_threads_is_not_taken_for_wrong_inputs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ThreadPoolExecutor, "submit", start_no_thread)
    monkeypatch.setattr(recorder, "threads", lambda: 2)
    assert main([*TINY_RUN, f"--out={tmp_path / 'run'}"]) == 2
    assert capsys.readouterr().err == (
        "layerbits: RuntimeError: can't start new thread; raise the limit of processes (ulimit -u), or set "
        "OMP_NUM_THREADS=1\n"
    )


def run_with_small_files(folder):
    """Run a command whose files have at most 20,000 bytes, with its messages in a file."""
    os.dup2(os.open(folder / "messages", os.O_WRONLY | os.O_CREAT), 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    os._exit(main([*TINY_RUN, f"--out={folder / 'run'}"]))


def test_run_whose_file_is_too_large_names_it_and_continues(tmp_path):
    process = FORK_SERVER.Process(target=run_with_small_files, args=(tmp_path,))
    process.start()
    process.join(300)
    assert process.exitcode == 2
    path = tmp_path / "run" / "scatter.csv"
    message = f"layerbits: {path}: cannot be written to (File too large); make room or use another folder\n"
    assert (tmp_path / "messages").read_text() == message
    assert main([*TINY_RUN, f"--out={tmp_path / 'run'}", "--resume"]) == 0


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
