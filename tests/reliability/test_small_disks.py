"""Runs and Monitors on a disk without space or inodes name the file, and continue when there is more space."""

import contextlib
import random

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.cli import main
from tests.processes.measurements import numbers
from tests.support.run_files import run_tables
from tests.support.small_disk import small_disk
from tests.support.tiny_run import TINY_RUN

_CHOICE = random.Random(4)
DISKS = pytest.mark.parametrize(
    "options",
    [
        "size=8k",
        "size=48k",
        "nr_inodes=4",
        "nr_inodes=9",
        *(
            pytest.param(options, marks=pytest.mark.stress)
            for _ in range(15)
            for options in (f"size={4 * _CHOICE.randint(1, 40)}k", f"nr_inodes={_CHOICE.randint(2, 40)}")
        ),
    ],
)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected") / "run"
    assert main([*TINY_RUN, f"--out={folder}"]) == 0
    return run_tables(folder)


@DISKS
def test_run_on_a_small_disk_continues_when_there_is_room(options, expected, tmp_path, capsys):
    disk = tmp_path / "disk"
    with small_disk(disk, options) as enlarge:
        command = [*TINY_RUN, f"--out={disk / 'run'}", "--resume"]
        if main(command):
            assert f"layerbits: {disk / 'run'}" in capsys.readouterr().err.splitlines()[-1]
            enlarge()
            assert main(command) == 0
        assert run_tables(disk / "run") == expected


def measure(folder):
    """Measure a network at two epochs, and return the numbers."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh())
    monitor = lb.Monitor(model, torch.eye(3).repeat(9, 1), at=(0, 1), directory=folder, sigma=0.3)
    for epoch in (0, 1):
        monitor.step(epoch)
    return {epoch: numbers(table) for epoch, table in monitor.tables.items()}


@DISKS
def test_monitor_on_a_small_disk_continues_when_there_is_room(options, tmp_path):
    disk = tmp_path / "disk"
    expected = measure(tmp_path / "monitor")
    with small_disk(disk, options) as enlarge:
        with contextlib.suppress(lb.UsageError):
            measure(disk / "monitor")
        enlarge()
        assert measure(disk / "monitor") == expected
