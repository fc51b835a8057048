"""Sweeps: each cell has a process and a folder of its own; failures are tried again and reported.

Most tests replace the program of a cell by a script, because a process that imports torch takes seconds.
"""

import csv
import dataclasses
import json
import os
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

import layerbits as lb
from layerbits._base import FolderLock
from layerbits.experiments import local_executor
from layerbits.experiments.framework import child_processes
from layerbits.experiments.sweeps import cell_runs, runner

# Reads a run and finishes it; `case` says what happens before.
PROGRAM = """
import json, os, pathlib, signal, sys, time
run = json.loads(sys.stdin.readline())
folder = pathlib.Path(run["folder"])
is_first = not folder.exists()
folder.mkdir(exist_ok=True)
seed = int(run["settings"]["seed"])
{case}
(folder / "run.json").write_text(json.dumps(
    {{key: run[key] for key in ("experiment", "configuration")}}
    | {{"status": "finished", "summary": {{"loss": seed / 2}}}}
))
"""


@pytest.fixture
def program(monkeypatch):
    """Return a function that sets what the program of a cell does before it finishes."""

    def set_program(case):
        monkeypatch.setattr(cell_runs, "_COMMAND", (sys.executable, "-c", PROGRAM.format(case=case)))

    set_program("")
    return set_program


def rows(path):
    with (path / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_cells_run_the_experiment_with_the_numbers_of_a_run(tmp_path):
    settings = {"widths": (4, 3), "epochs": 3, "evaluations": 2, "measurements": 2, "draws": 3, "queries": 3}
    grid = {"seed": [5]} | {name: [value] for name, value in settings.items()}
    (cell,) = lb.sweep("szt-tanh", grid, tmp_path / "sweep").cells
    assert (cell.status, cell.attempts, cell.reason) == ("finished", 1, "")
    record = json.loads((tmp_path / "sweep" / cell.name / "run.json").read_text())
    assert record["summary"] == cell.summary
    assert record["configuration"]["seed"] == 5
    assert record["configuration"]["widths"] == [4, 3]
    assert record["machine"]["threads"] == 1


def test_cell_ends_with_the_process_that_started_it(tmp_path):
    run = cell_runs.CellRun("szt-tanh", {"epochs": "1000000"}, {}, str(tmp_path / "cell"), True, 1, None)
    process = subprocess.Popen(cell_runs._COMMAND, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdin.write(json.dumps(dataclasses.asdict(run)).encode() + b"\n")
    process.stdin.flush()
    while not (tmp_path / "cell" / "training.csv").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.stdin.close()
    assert process.wait() == 130
    assert json.loads((tmp_path / "cell" / "run.json").read_text())["status"] == "interrupted"


@pytest.mark.usefixtures("program")
def test_table_has_a_row_for_each_cell(tmp_path):
    with local_executor(2) as executor:
        sweep = lb.sweep("szt-tanh", {"seed": range(4)}, tmp_path, executor=executor)
    assert sweep.unfinished == ()
    assert [row["cell"] for row in rows(tmp_path)] == ["seed=0", "seed=1", "seed=2", "seed=3"]
    assert [row["loss"] for row in rows(tmp_path)] == ["0.0", "0.5", "1.0", "1.5"]
    assert list(sweep.to_pandas()["loss"]) == [0.0, 0.5, 1.0, 1.5]


def test_killed_cell_is_tried_again(tmp_path, program):
    program("if is_first: os.kill(os.getpid(), signal.SIGKILL)")
    (cell,) = lb.sweep("szt-tanh", {"seed": [1]}, tmp_path).cells
    assert (cell.status, cell.attempts, cell.summary) == ("finished", 2, {"loss": 0.5})


def test_cell_that_finished_and_lost_its_outcome_has_finished(tmp_path, program):
    program("")

    class LosingExecutor(ThreadPoolExecutor):
        def submit(self, function, /, *arguments):
            function(*arguments)
            future = Future()
            future.set_exception(ConnectionError("lost"))
            return future

    (cell,) = lb.sweep("szt-tanh", {"seed": [1]}, tmp_path, executor=LosingExecutor(1)).cells
    assert (cell.status, cell.attempts, cell.reason, cell.summary) == ("finished", 1, "", {"loss": 0.5})


def test_failed_cell_is_reported_and_the_others_finish(tmp_path, program):
    program("if seed == 1: print('text'); sys.exit('sigma: got 0')")
    sweep = lb.sweep("szt-tanh", {"seed": range(3)}, tmp_path, retries=0)
    (cell,) = sweep.unfinished
    assert (cell.name, cell.status, cell.attempts, cell.reason) == ("seed=1", "failed", 1, "sigma: got 0")
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "failed", "finished"]
    assert (tmp_path / "seed=1.log").read_text() == "text\nsigma: got 0\n"


def test_cell_that_is_always_killed_names_the_signal(tmp_path, program):
    program("os.kill(os.getpid(), signal.SIGKILL)")
    (cell,) = lb.sweep("szt-tanh", {"seed": [0]}, tmp_path, retries=1).cells
    assert (cell.status, cell.attempts, cell.reason) == ("failed", 2, "its process was killed by signal 9")


def test_cell_on_a_full_disk_is_not_tried_again(tmp_path, program):
    program("sys.exit(f'layerbits: {folder}/run.json: cannot be written (No space left on device)')")
    (cell,) = lb.sweep("szt-tanh", {"seed": [0]}, tmp_path, retries=3).cells
    reason = "run.json: cannot be written (No space left on device); not tried again: free space, and resume the sweep"
    assert (cell.status, cell.attempts, cell.reason) == ("failed", 1, reason)


def test_cell_that_hangs_is_ended(tmp_path, program, monkeypatch):
    program("while True: time.sleep(1)")
    monkeypatch.setattr(child_processes, "_SECONDS_TO_END", 0.1)
    (cell,) = lb.sweep("szt-tanh", {"seed": [0]}, tmp_path, retries=0, timeout=0.3).cells
    assert (cell.status, cell.reason) == ("timed out", "it took more than 0.3 s")


def test_finished_cells_are_not_run_again_and_the_grid_may_grow(tmp_path, program):
    lb.sweep("szt-tanh", {"seed": [0, 1]}, tmp_path)
    program("if seed < 2: sys.exit('run again')")
    sweep = lb.sweep("szt-tanh", {"seed": [0, 1, 2]}, tmp_path, resume=True)
    assert [(cell.status, cell.attempts) for cell in sweep.cells] == [("finished", 0), ("finished", 0), ("finished", 1)]


def test_folder_of_another_cell_is_refused(tmp_path, program):
    lb.sweep("szt-tanh", {"seed": [0, 1]}, tmp_path / "sweep", quick=True)
    (tmp_path / "sweep" / "seed=0").rename(tmp_path / "kept")
    (tmp_path / "sweep" / "seed=1").rename(tmp_path / "sweep" / "seed=0")
    with pytest.raises(lb.UsageError, match=r"seed=0: holds another run \(seed: the run to resume has 1, got 0"):
        lb.sweep("szt-tanh", {"seed": [0, 1]}, tmp_path / "sweep", quick=True, resume=True)


class WithoutFolder(Executor):
    """Says that each cell has finished; its workers do not share the folder."""

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(("finished", ""))
        return future


def test_workers_without_the_folder_are_named(tmp_path):
    (cell,) = lb.sweep("szt-tanh", {"seed": [0]}, tmp_path / "sweep", quick=True, executor=WithoutFolder()).cells
    assert cell.status == "failed"
    assert "has no finished run; share it with all workers" in cell.reason


class WithoutFuture:
    def submit(self, function, *arguments):
        return self


class FromSubmitit(WithoutFuture):
    __module__ = "submitit.auto.auto"


def shut_down(executor):
    executor.shutdown()
    return executor


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (shut_down(ThreadPoolExecutor(1)), "submit of ThreadPoolExecutor raised .*cannot schedule new futures after"),
        (shut_down(ProcessPoolExecutor(1)), "submit of ProcessPoolExecutor raised .*cannot schedule new futures after"),
        (WithoutFuture(), r"submit of WithoutFuture returned WithoutFuture, wanted .*local_executor\(4\)$"),
        (FromSubmitit(), r".*local_executor\(4\); for submitit, use layerbits\.experiments\.slurm_executor$"),
    ],
)
@pytest.mark.usefixtures("program")
def test_executor_without_futures_ends_the_sweep(executor, message, tmp_path):
    with pytest.raises(lb.UsageError, match=f"^executor: {message}"):
        lb.sweep("szt-tanh", {"seed": [0, 1]}, tmp_path, executor=executor)
    assert lb.sweep("szt-tanh", {"seed": [0, 1]}, tmp_path).unfinished == ()  # no run was started, so none is resumed


@pytest.mark.parametrize("executor", ["x", 4, ThreadPoolExecutor])
def test_executor_of_another_type_is_refused_before_the_folder_is_made(executor, tmp_path):
    with pytest.raises(TypeError, match=r"^executor: got .*, wanted an executor of concurrent\.futures, such as "):
        lb.sweep("szt-tanh", {"seed": [0]}, tmp_path / "new", executor=executor)
    assert not (tmp_path / "new").exists()


def test_executor_that_breaks_during_the_sweep_leaves_cells_that_failed(tmp_path, program):
    program("")

    class BreakingExecutor(ThreadPoolExecutor):
        def submit(self, function, /, *arguments):
            try:
                return super().submit(function, *arguments)
            finally:
                self.shutdown()

    first, second = lb.sweep("szt-tanh", {"seed": [0, 1]}, tmp_path, executor=BreakingExecutor(1)).cells
    assert (first.status, second.status) == ("finished", "failed")
    assert "cannot schedule new futures" in second.reason


@pytest.mark.usefixtures("program")
def test_folder_of_another_sweep_is_refused(tmp_path):
    lb.sweep("szt-tanh", {"seed": [0]}, tmp_path)
    with pytest.raises(lb.UsageError, match=r"not empty.*resume=True, --resume"):
        lb.sweep("szt-tanh", {"seed": [0]}, tmp_path)
    with pytest.raises(lb.UsageError, match="experiment: the sweep to resume has 'szt-tanh', got 'szt-linear'"):
        lb.sweep("szt-linear", {"seed": [0]}, tmp_path, resume=True)
    with pytest.raises(lb.UsageError, match="threads: the sweep to resume has 1, got 2"):
        lb.sweep("szt-tanh", {"seed": [0]}, tmp_path, threads=2, resume=True)


def test_invalid_setting_is_refused_before_the_first_run(tmp_path):
    with pytest.raises(lb.UsageError, match=r"sigma: got -1\.0"):
        lb.sweep("szt-tanh", {"sigma": [0.1, -1]}, tmp_path / "new")
    with pytest.raises(lb.UsageError, match="no such experiment"):
        lb.sweep("szt", {"seed": [0]}, tmp_path / "new")
    with pytest.raises(ValueError, match="retries: got -1"):
        lb.sweep("szt-tanh", {"seed": [0]}, tmp_path / "new", retries=-1)
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("program")
def test_any_executor_runs_cells(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        assert lb.sweep("szt-tanh", {"seed": [0]}, tmp_path, executor=executor).unfinished == ()


def test_interrupted_sweep_ends_its_cells(tmp_path, program, monkeypatch):
    program("(folder / 'pid').write_text(str(os.getpid())); sys.stdin.read(); sys.exit(130)")

    def interrupt(pending, return_when):
        while not list(tmp_path.glob("*/pid")):
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lb.sweep("szt-tanh", {"seed": range(3)}, tmp_path)
    assert [path.name for path in tmp_path.glob("seed=*") if path.is_dir()] == ["seed=0"]


def test_folder_that_another_process_writes_to_is_refused(tmp_path):
    lock = FolderLock(tmp_path)
    with pytest.raises(lb.UsageError, match=rf"process {os.getpid()} on .* writes to it"):
        lb.sweep("szt-tanh", {"seed": [0]}, tmp_path)
    lock.release()
