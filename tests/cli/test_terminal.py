"""Output on a terminal without stderr, escape sequences, and signals that end a command."""

import errno
import json
import os
import signal
import sys

import pytest

from layerbits._base import UsageError, progress, write_csv
from layerbits.cli import main
from layerbits.experiments import EXPERIMENTS, RunFolder
from tests.support.tiny_run import TINY_RUN, call_after_epoch

ESCAPES = "\x1b[2J\u202e\x07"


@pytest.mark.parametrize("state", ["none", "closed"])
def test_progress_needs_no_stderr(state, monkeypatch, tmp_path):
    with (tmp_path / "stderr").open("w") as stderr:
        monkeypatch.setattr(sys, "stderr", None if state == "none" else stderr)
    assert list(progress(range(3), name="passes", total=3)) == [0, 1, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", ESCAPES],
        ["report", ESCAPES],
        ["run", "szt-tanh", f"--set={ESCAPES}=1"],
        ["run", "szt-tanh", f"--{ESCAPES}"],
    ],
)
def test_messages_have_no_control_characters(arguments, capsys):
    try:
        assert main(arguments) == 2
    except SystemExit as error:
        assert error.code == 2  # noqa: PT017
    captured = capsys.readouterr()
    assert captured.err
    assert all(line.isprintable() for line in (captured.out + captured.err).splitlines())


@pytest.fixture
def hangup_ends_the_process():
    """Reset SIGHUP, which a command under nohup ignores, as the tests themselves may."""
    previous_handler = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous_handler)


def test_hangup_interrupts_a_run(tmp_path, capsys, hangup_ends_the_process):
    with call_after_epoch(2, lambda: os.kill(os.getpid(), signal.SIGHUP)):
        assert main([*TINY_RUN, f"--out={tmp_path}"]) == 130
    assert "add --resume to the command to continue" in capsys.readouterr().err
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "interrupted"


def test_lack_of_memory_ends_a_run_with_the_remedy(tmp_path, capsys):
    def fail():
        raise MemoryError

    with call_after_epoch(2, fail):
        assert main([*TINY_RUN, f"--out={tmp_path}"]) == 2
    remedy = (
        "MemoryError; the memory is full: raise its limit (ulimit -v), end other programs, or choose smaller settings"
    )
    assert capsys.readouterr().err.splitlines()[-1] == f"layerbits: {remedy}"


def test_error_without_stderr_keeps_its_status(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["run", "nonesuch"]) == 2
    assert capsys.readouterr().out == ""


def small_folder(path, *, resume=False):
    experiment = EXPERIMENTS["szt-tanh"]
    return RunFolder(path, experiment="szt-tanh", config=experiment.quick_config(), resume=resume)


@pytest.mark.parametrize(
    "change", [{"configuration": []}, {"configuration": None}, {"timings": None}, {"timings": {"training": "long"}}]
)
def test_damaged_record_of_a_run_is_not_resumed(change, tmp_path):
    with small_folder(tmp_path).running():
        pass
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(record | change))
    with pytest.raises(UsageError, match=rf"run.json: cannot be read: its {next(iter(change))} "):
        small_folder(tmp_path, resume=True)


def test_full_disk_names_the_file_that_failed(tmp_path, monkeypatch):
    folder = small_folder(tmp_path)

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def train():
        with folder.running(), folder.phase("training"):
            monkeypatch.setattr(os, "replace", fail)
            write_csv(tmp_path / "training.csv", ["epoch"], [])  # run.json cannot be written either

    with pytest.raises(UsageError, match=r"training.csv.*: cannot be written to"):
        train()
