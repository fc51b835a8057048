"""Commands that are ended at a random moment leave files that can be read, and continue to the same numbers.

Processes of a server that has imported torch run the commands, because imports take seconds. LAYERBITS_KILLS changes
the number of kills of each command by each signal, LAYERBITS_FUZZ_SEED their moments.
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from matplotlib import pyplot
from torch import nn

import layerbits as lb
from layerbits.calibration import V1
from layerbits.cli import check_command, main
from layerbits.experiments.sweeps import cell_runs
from tests.support.fork_server import FORK_SERVER
from tests.support.killed_sweeps import COMMAND as CELL
from tests.support.killed_sweeps import cells_are_free, wait_until
from tests.support.tiny_run import TINY_RUN

pytestmark = pytest.mark.stress

SEED = int(os.environ.get("LAYERBITS_FUZZ_SEED", "0"))
KILLS = int(os.environ.get("LAYERBITS_KILLS", "12"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
EPOCHS = 8

SCRIPT = """
import torch
def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)), torch.randn(300, 3)
"""


def train(folder):
    """Measure a network in a training loop of the user."""
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), torch.randn(300, 4)
    monitor = lb.Monitor(model, inputs, at=range(EPOCHS), directory=folder, sigma=0.3)
    for epoch in range(EPOCHS):
        with torch.no_grad():
            model[0].weight.mul_(1.01)
        monitor.step(epoch)


def commands(folder):
    """Return the arguments of each command with results in `folder`; None stands for `train`."""
    files = Path(folder).parent
    checkpoints = [f"--checkpoint={file}" for file in files.glob("*.pt")]
    return {
        "run": [*TINY_RUN, f"--out={folder}", "--resume"],
        "sweep": ["sweep", "szt-tanh", "--seeds=0:4", f"--out={folder}", "--resume", "--jobs=2"],
        "check": ["check", "--seeds=2", f"--out={folder / 'check.csv'}"],
        "report": ["report", str(folder)],
        "measure": ["measure", str(files / "script.py"), f"--out={folder}", *checkpoints, "--set=draws=4"],
        "Monitor": None,
    }


def execute(name, folder):
    """Run a command with its output in the file `output` beside its folder, and end the process with its status."""
    output = os.open(folder.parent / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    cell_runs._COMMAND = CELL  # cells that import nothing
    check_command.V1 = [task for task in V1 if task.name in ("equal", "neuron-5")]
    check_command.V2 = check_command.V3 = check_command.BASELINES = []
    check_command.threads = lambda: 1
    arguments = commands(folder)[name]
    os._exit(train(folder) or 0 if arguments is None else main(arguments))


def start(name, folder):
    (folder.parent / "output").write_bytes(b"")
    process = FORK_SERVER.Process(target=execute, args=(name, folder))
    process.start()
    wait_until(lambda: psutil.Process(process.pid).num_fds() and process.exitcode is None)
    return process


READERS = {
    ".csv": lambda path: list(csv.DictReader(path.open(newline=""), strict=True)),
    ".html": lambda path: path.read_text().replace(str(path.parent), ""),
    ".json": lambda path: json.loads(path.read_text()),
    ".png": lambda path: pyplot.imread(path).tobytes(),
    ".pt": lambda path: torch.load(path),
}
