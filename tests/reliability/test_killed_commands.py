"""Commands that are ended at a random moment leave files that can be read, and continue to the same numbers."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

import layerbits as lb
from layerbits.cli import main
from tests.support.run_files import run_tables
from tests.support.tiny_run import TINY_RUN

pytestmark = pytest.mark.stress

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
KILLS = int(os.environ.get("LAYERBITS_KILLS", "12"))  # of each signal
SECONDS = 12.0  # a kill comes within this time of processor time after the start

MONITOR = """
    import sys, torch, layerbits as lb
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    inputs = torch.randn(300, 4)
    monitor = lb.Monitor(model, inputs, at=range(40), directory=sys.argv[1], sigma=0.3)
    for epoch in range(40):
        with torch.no_grad():
            model[0].weight.mul_(1.01)
        monitor.step(epoch)
"""


def processor_seconds(process):
    """Return the seconds of processor time of a process: on a busy machine its clock shows how far it has come."""
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def end_at(command, moment, number):
    """Start a command, send a signal after `moment` seconds of processor time, and return its output if it ends."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None and processor_seconds(process) < moment:
            time.sleep(0.01)
        process.send_signal(number)
        output = process.communicate(timeout=300)[0]
    assert process.returncode in (0, 130, -number), output
    return output


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*TINY_RUN, f"--out={path}"]) == 0
    return run_tables(path)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("kill", range(KILLS))
def test_ended_run_continues_to_the_same_numbers(number, kill, whole_run, tmp_path):
    choice = random.Random(f"{number} {kill}")
    command = [sys.executable, "-m", "layerbits", *TINY_RUN, f"--out={tmp_path / 'run'}", "--resume"]
    for _ in range(2):
        output = end_at(command, choice.uniform(0, SECONDS), number)
        assert "Traceback" not in output or "import" in output  # an interrupt during the imports of Python
        if (tmp_path / "run" / "information.csv").exists():
            lb.read_history(tmp_path / "run")
    assert main(command[3:]) == 0
    assert run_tables(tmp_path / "run") == whole_run


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("kill", range(KILLS))
def test_ended_monitor_continues_to_the_same_numbers(number, kill, tmp_path):
    choice = random.Random(f"monitor {number} {kill}")
    command = [sys.executable, "-c", textwrap.dedent(MONITOR), str(tmp_path)]
    end_at_any_status(command, choice.uniform(4, SECONDS), number)
    before = lb.read_history(tmp_path) if (tmp_path / "information.csv").exists() else None
    subprocess.run(command, check=True)
    after = lb.read_history(tmp_path)
    assert after.epochs == tuple(range(40))
    assert before is None or all(after[epoch] == before[epoch] for epoch in before.epochs)


def end_at_any_status(command, moment, number):
    """End a script of the user, in which a signal has the effect that Python gives it."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and processor_seconds(process) < moment:
            time.sleep(0.01)
        process.send_signal(number)
        process.wait(timeout=300)
