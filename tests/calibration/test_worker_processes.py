"""Several processes compute the rows of one process."""

import dataclasses
import multiprocessing
import time

import psutil
import pytest

from layerbits.calibration import BASELINES, V1, V2, coverage, coverage_in_processes, worker_processes
from tests.support.fork_server import FORK_SERVER
from tests.support.killed_sweeps import wait_until

TASKS = [task for task in (*V1, *V2, *BASELINES) if task.name in ("bpsk-1", "parallel", "ksg-dead")]


@pytest.fixture(autouse=True)
def forked_workers(monkeypatch):
    """Fork the workers from a server, because each new interpreter would import torch for seconds."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: FORK_SERVER)


def test_processes_return_the_rows_of_one_process_in_their_order():
    rows = coverage_in_processes(TASKS, seeds=[0, 1], processes=2)
    untimed = [dataclasses.replace(row, seconds=0) for row in rows]
    expected = [dataclasses.replace(row, seconds=0) for row in coverage(TASKS, seeds=[0, 1])]
    assert str(untimed) == str(expected)  # NaN is not equal to itself, but its text is


def test_task_of_no_list_is_refused():
    task = dataclasses.replace(TASKS[0], name="mine")
    with pytest.raises(KeyError, match="mine"):
        coverage_in_processes([task], seeds=[0], processes=2)


def test_interruption_ends_the_workers(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(worker_processes, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        coverage_in_processes(TASKS, seeds=range(1000), processes=2)
    # The thread of the pool waits for the workers too, so a `join` here may return before their ends are known.
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert multiprocessing.active_children() == []


def compute_rows(file):
    """Compute rows for a long time, in workers whose identities are written to a file."""
    multiprocessing.get_context = lambda _: FORK_SERVER
    worker_processes.progress = lambda rows, **_: (
        file.write_text(" ".join(str(worker.pid) for worker in multiprocessing.active_children())) and rows
    )
    coverage_in_processes(TASKS, seeds=range(100_000), processes=2)


def test_workers_end_with_a_killed_main_process(tmp_path):
    main_process = FORK_SERVER.Process(target=compute_rows, args=(tmp_path / "workers",))
    main_process.start()
    wait_until((tmp_path / "workers").exists)
    workers = (tmp_path / "workers").read_text().split()
    assert len(workers) == 2
    main_process.kill()
    wait_until(lambda: not any(psutil.pid_exists(int(worker)) for worker in workers), 10)
    assert [worker for worker in workers if psutil.pid_exists(int(worker))] == []
