"""Sweeps on a Dask cluster whose workers come and go, and as jobs of submitit."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future, wait
from types import SimpleNamespace

import pytest

import layerbits as lb
from layerbits.cli import main
from layerbits.experiments import dask_executor, slurm_executor
from layerbits.experiments.sweeps import executors

# A run of a second or two.
SETTINGS = {"widths": ["4,3"], "epochs": [40], "evaluations": [2], "measurements": [2], "draws": [2], "queries": [2]}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_address_without_scheduler_is_refused(monkeypatch):
    monkeypatch.setattr(executors, "_CONNECTION_SECONDS", 0.3)
    with pytest.raises(lb.UsageError, match=r"dask: got tcp://127\.0\.0\.1:1, where no scheduler answers"):
        dask_executor("tcp://127.0.0.1:1").__enter__()


@pytest.mark.parametrize("address", ["foo", "http://127.0.0.1:1", "tcp://127.0.0.1"])
def test_address_of_another_form_is_refused(address):
    with pytest.raises(lb.UsageError, match=f"^dask: got {address}, wanted tcp://HOST:PORT or local "):
        dask_executor(address).__enter__()


def test_future_that_a_lost_scheduler_does_not_complete_is_cancelled(monkeypatch):
    monkeypatch.setattr(executors, "_POLL_SECONDS", 0.01)
    lost = SimpleNamespace(submit=lambda *_: Future(), shutdown=lambda wait: None)
    with executors._DaskExecutor(SimpleNamespace(status="closed", get_executor=lambda: lost)) as executor:
        future = executor.submit(print)
        assert wait([future], timeout=60).done == {future}
    assert future.cancelled()


def test_missing_slurm_is_refused(tmp_path):
    with pytest.raises(lb.UsageError, match=r"slurm: this machine has no srun, .* use `--slurm cluster=local`"):
        slurm_executor(tmp_path, {})


def test_cluster_that_runs_jobs_in_this_process_is_refused(tmp_path):
    with pytest.raises(lb.UsageError, match=r"slurm: got cluster=debug, wanted slurm or local"):
        slurm_executor(tmp_path, {}, cluster="debug")


@pytest.mark.stress
def test_local_cluster_of_submitit_runs_from_the_command_line(tmp_path):
    settings = [f"--set={name}={values[0]}" for name, values in SETTINGS.items()]
    arguments = ["sweep", "szt-tanh", "--quick", "--seeds=0:1", *settings, f"--out={tmp_path / 'sweep'}"]
    assert main([*arguments, "--slurm=cluster=local", "--slurm=timeout_min=10"]) == 0
    assert len(list(tmp_path.glob("sweep/*/run.json"))) == 1
    assert list(tmp_path.glob("sweep-jobs/*_result.pkl"))


@pytest.mark.stress
def test_cells_of_a_killed_worker_are_finished_by_one_that_starts_late(tmp_path):
    address = f"tcp://127.0.0.1:{free_port()}"
    scheduler = start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2])
    worker = ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    first = start(*worker)
    second = None
    try:
        time.sleep(5)  # the scheduler must listen
        with dask_executor(address) as executor:
            future = executor.submit(time.sleep, 0)
            future.result(timeout=60)  # the first worker works
            second = start(*worker)
            kill(first)
            sweep = lb.sweep("szt-tanh", SETTINGS | {"seed": [0, 1]}, tmp_path, quick=True, executor=executor)
    finally:
        for process in (scheduler, first, second):
            if process is not None and process.poll() is None:
                kill(process)
    assert sweep.unfinished == ()


@pytest.mark.stress
def test_cells_run_as_jobs_of_submitit(tmp_path):
    with slurm_executor(tmp_path / "jobs", {"timeout_min": 10}, cluster="local") as executor:
        sweep = lb.sweep("szt-tanh", SETTINGS | {"seed": [0, 1]}, tmp_path / "sweep", quick=True, executor=executor)
    assert sweep.unfinished == ()
    names = [cell.name for cell in sweep.cells]
    assert all(
        json.loads((tmp_path / "sweep" / name / "run.json").read_text())["status"] == "finished" for name in names
    )
