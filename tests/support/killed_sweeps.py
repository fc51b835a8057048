"""Cells of a sweep that keep their steps in files, for tests that kill processes, and processes that tests fork.

The program of a cell imports neither torch nor layerbits, so that many cells can be killed. As a run of an experiment,
it holds the lock of its folder, ends with the process that started it, and continues from its finished steps.
"""

import fcntl
import json
import os
import sys
import time

from layerbits.experiments.sweeps import cell_runs
from tests.support.fork_server import FORK_SERVER

STEPS = 5

PROGRAM = f"""
import fcntl, json, os, pathlib, sys, threading, time
run = json.loads(sys.stdin.readline())
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(130)), daemon=True).start()
folder = pathlib.Path(run["folder"])
folder.mkdir(exist_ok=True)
lock = open(folder / ".lock", "a")
fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the end of an earlier process

def write(name, text):
    (folder / (name + ".draft")).write_text(text)
    os.replace(folder / (name + ".draft"), folder / name)

for step in range({STEPS}):
    if not (folder / str(step)).exists():
        time.sleep(0.01)
        write(str(step), str(step * int(run["settings"]["seed"])))
        with open(folder / "computed", "a") as file:
            file.write(str(step) + "\\n")
total = sum(int((folder / str(step)).read_text()) for step in range({STEPS}))
write("run.json", json.dumps(
    {{key: run[key] for key in ("experiment", "configuration")}}
    | {{"status": "finished", "summary": {{"total": total}}}}
))
"""

COMMAND = (sys.executable, "-I", "-S", "-c", PROGRAM)


def total(seed):
    """Return the number that the cell of a seed ends with."""
    return sum(step * seed for step in range(STEPS))


def finished(folder):
    """Return the identity of the record of each finished cell by name, which changes if the cell runs again."""
    records = {path.parent.name: path.stat() for path in folder.glob("seed=*/run.json")}
    return {name: (record.st_ino, record.st_mtime_ns) for name, record in records.items()}


def check_all(folder, sweep, finished_before):
    """Assert that all cells have finished with their numbers, no step was done twice, and no cell ran again."""
    assert sweep.unfinished == ()
    for cell in sweep.cells:
        assert cell.summary == {"total": total(int(cell.settings["seed"]))}
        steps = (folder / cell.name / "computed").read_text().split()
        assert len(steps) == len(set(steps)), f"a finished step of {cell.name} was done again"
        assert not finished_before or cell.name not in finished_before or cell.attempts == 0
    assert finished_before.items() <= finished(folder).items()
    assert json.loads((folder / "sweep.json").read_text())["experiment"] == "szt-tanh"


def wait_until(condition, seconds=60.0):
    """Wait until a condition holds, or for some time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)


def cells_are_free(folder):
    """Return whether no process holds the lock of a cell."""
    return all(map(_is_free, folder.glob("seed=*/.lock")))


def _is_free(lock):
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def fork(function, *arguments):
    """Run a function of a module in a new process, whose cells have the program `COMMAND`, and return the process."""
    process = FORK_SERVER.Process(target=_call, args=(function, *arguments))
    process.start()
    return process


def _call(function, *arguments):
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # warnings about killed processes
    cell_runs._COMMAND = COMMAND
    function(*arguments)
    os._exit(0)
