"""Commands that are ended at a random moment leave files that can be read, and continue to the same numbers.

Children of a server that has imported torch run the commands, because imports take seconds. LAYERBITS_KILLS changes the
number of kills of each command by each signal, LAYERBITS_FUZZ_SEED their moments.
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
from tests.support.killed_sweeps import COMMAND as CELL_COMMAND
from tests.support.killed_sweeps import wait_until
from tests.support.tiny_run import TINY_RUN

pytestmark = pytest.mark.stress

SEED = int(os.environ.get("LAYERBITS_FUZZ_SEED", "0"))
KILLS = int(os.environ.get("LAYERBITS_KILLS", "12"))
SIGNALS = pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name
)
EPOCHS = range(8)

# Their files are in the working directory, their results in its folder `results`; a Monitor stands for `train`.
COMMANDS = {
    "run": [*TINY_RUN, "--resume", "--out=results"],
    "sweep": ["sweep", "szt-tanh", "--seeds=0:4", "--jobs=2", "--resume", "--out=results"],
    "check": ["check", "--seeds=2", "--out=results/check.csv"],
    "report": ["report", "results"],
    "measure": ["measure", "script.py", *(f"--checkpoint=epoch{epoch}.pt" for epoch in EPOCHS), "--out=results"],
    "Monitor": [],
}

SCRIPT = """
import torch
def make():
    return {
        "model": torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)),
        "inputs": torch.linspace(-1, 1, 1200).reshape(300, 4).sin(), "sigma": 0.3,
    }
"""


def networks():
    """Yield each epoch, and the network of the script with the weights of that epoch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    for epoch in EPOCHS:
        model[0].weight.data *= 1.01
        yield epoch, model


def train():
    """Measure a network in a training loop, and return 0."""
    inputs, monitor = torch.linspace(-1, 1, 1200).reshape(300, 4).sin(), None
    for epoch, model in networks():
        monitor = monitor or lb.Monitor(model, inputs, at=EPOCHS, directory="results", sigma=0.3)
        monitor.step(epoch)
    return 0


def execute(name, folder):
    """Run a command in a folder, with its output in a file, and end the process with its status."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
    os.chdir(folder)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    cell_runs._COMMAND = CELL_COMMAND  # cells that import nothing
    check_command.V1 = [task for task in V1 if task.name in ("equal", "neuron-5")]
    check_command.V2 = check_command.V3 = check_command.BASELINES = []
    check_command.threads = lambda: 1
    (folder / "started").touch()
    os._exit(main(COMMANDS[name]) if COMMANDS[name] else train())


def start(name, folder):
    """Start a command, and return its process as soon as the command has begun."""
    (folder / "started").unlink(missing_ok=True)
    process = FORK_SERVER.Process(target=execute, args=(name, folder))
    process.start()
    wait_until((folder / "started").exists)
    return process


def end_at(process, moment, number):
    """Send a signal after `moment` seconds, and return whether it has ended the process."""
    process.join(moment)
    if process.exitcode is None:
        os.kill(process.pid, number)
    process.join(300)
    return process.exitcode != 0


def table(path):
    """Return the rows of a table without times and attempts."""
    header, *rows = csv.reader(path.read_text().splitlines(), strict=True)
    return [dict(zip(header, row, strict=True)) | {"seconds": None, "attempts": None} for row in rows]


READERS = {
    ".csv": table,
    ".html": lambda path: path.read_text().replace(str(path.parent), "").split("</html>")[-2],
    ".json": lambda path: json.loads(path.read_text()) and None,
    ".png": lambda path: pyplot.imread(path).tobytes(),
    ".pt": lambda path: torch.load(path) and None,
}


def contents(folder):
    """Read all files of a folder except drafts, and return the numbers of tables, figures and pages."""
    files = [file for file in folder.rglob("*") if file.suffix in READERS and not file.name.startswith(".draft-")]
    return {str(file.relative_to(folder)): READERS[file.suffix](file) for file in files}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with the files that commands take: a finished run, a script and checkpoints."""
    folder = tmp_path_factory.mktemp("files")
    assert main([*TINY_RUN, f"--out={folder / 'results'}"]) == 0
    (folder / "script.py").write_text(SCRIPT)
    for epoch, model in networks():
        torch.save(model.state_dict(), folder / f"epoch{epoch}.pt")
    return folder


@pytest.fixture(scope="module", params=COMMANDS)
def command(request, files, tmp_path_factory):
    """Return the name of a command, a folder with its files, its seconds and the contents of its results."""
    before, after = (tmp_path_factory.mktemp(request.param) for _ in range(2))
    kept = None if request.param == "report" else shutil.ignore_patterns("results")
    shutil.copytree(files, before, ignore=kept, dirs_exist_ok=True)
    (before / "results").mkdir(exist_ok=True)
    shutil.copytree(before, after, dirs_exist_ok=True)
    process, started = start(request.param, after), time.monotonic()
    process.join(300)
    assert process.exitcode == 0, (after / "output").read_text()
    return request.param, before, time.monotonic() - started, contents(after / "results")


@SIGNALS
@pytest.mark.parametrize("pair", range((KILLS + 1) // 2))
def test_ended_command_continues_to_the_same_numbers(number, pair, command, tmp_path, record_property):
    name, files, seconds, expected = command
    choice = random.Random(f"{SEED} {name} {number} {pair}")
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    for _ in range(2):
        process = start(name, tmp_path)
        record_property("kills", int(end_at(process, choice.uniform(0, seconds), number)))
        output = (tmp_path / "output").read_text()
        assert process.exitcode in ((0, 1, -number) if name == "Monitor" else (0, 130, -number)), output
        # Python reports an interrupt in a callback, such as one of a weak reference, and goes on.
        assert name == "Monitor" or "Traceback" not in output or "Exception ignored in" in output
        contents(tmp_path / "results")
    process = start(name, tmp_path)
    process.join(300)
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert contents(tmp_path / "results") == expected


START = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
from layerbits_command import main
sys.exit(main())
"""


def end_during_imports(command, moment, number):
    """Send a signal to a new interpreter after `moment` seconds of processor time; return its status and output."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        clock = psutil.Process(process.pid)
        while process.poll() is None and clock.cpu_times().user + clock.cpu_times().system < moment:
            time.sleep(0.01)
        process.send_signal(number)
        output = process.communicate(timeout=300)[0]
    return process.returncode, output


@SIGNALS
def test_run_ended_during_its_imports_continues_to_the_same_numbers(number, files, tmp_path, record_property):
    choice = random.Random(f"{SEED} imports {number}")
    command = [*TINY_RUN, "--resume", f"--out={tmp_path / 'run'}"]
    for _ in range((KILLS + 3) // 4):
        status, output = end_during_imports([sys.executable, "-c", START, *command], choice.uniform(0.1, 3), number)
        record_property("kills", int(status != 0))
        assert status in (130, -number), output
        assert len(output.splitlines()) <= 1
        contents(tmp_path / "run")
    assert main(command) == 0
    assert contents(tmp_path / "run") == contents(files / "results")
