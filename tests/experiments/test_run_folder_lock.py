"""One process at a time writes to the folder of a run."""

import fcntl
import os
import subprocess
import sys

import pytest

from layerbits._base import LOCK_FILE, UsageError
from layerbits.experiments import Configuration, RunFolder

HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
file.write("process 7 on elsewhere\\n")
file.flush()
print("locked", flush=True)
time.sleep(60)
"""


def folder(path, *, resume=True):
    return RunFolder(path, experiment="szt-tanh", config=Configuration(), resume=resume)


def files(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name != LOCK_FILE}


def test_second_run_is_refused_and_writes_nothing(tmp_path):
    first = folder(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UsageError, match=rf"process {os.getpid()} on .* writes to it; wait for its end"):
        folder(tmp_path)
    assert files(tmp_path) == before
    with first.running():
        pass
    folder(tmp_path)


def test_two_runs_that_begin_in_an_empty_folder_are_not_both_let_in(tmp_path, monkeypatch):
    # Both see an empty folder; the second takes the lock before the first has written.
    prepare = RunFolder._require_empty

    def enter_twice(self):
        prepare(self)
        monkeypatch.setattr(RunFolder, "_require_empty", prepare)
        second.append(folder(tmp_path, resume=False))

    second = []
    monkeypatch.setattr(RunFolder, "_require_empty", enter_twice)
    with pytest.raises(UsageError, match="writes to it"):
        folder(tmp_path, resume=False)
    assert len(second) == 1


def test_lock_of_a_killed_process_is_taken_over(tmp_path):
    command = [sys.executable, "-S", "-c", HOLDER, str(tmp_path / LOCK_FILE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(UsageError, match="process 7 on elsewhere writes to it"):
            folder(tmp_path)
        assert files(tmp_path) == {}
        holder.kill()
        holder.wait()
        folder(tmp_path)
    assert (tmp_path / LOCK_FILE).read_text().startswith(f"process {os.getpid()} on ")


def test_run_that_ends_with_an_error_releases_the_folder(tmp_path):
    first = folder(tmp_path)
    with pytest.raises(ZeroDivisionError), first.running():
        raise ZeroDivisionError
    folder(tmp_path)


def test_link_in_place_of_the_lock_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("text of the user")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK_FILE).symlink_to(target)
    with pytest.raises(UsageError, match="cannot be written to"):
        folder(tmp_path / "run")
    assert target.read_text() == "text of the user"


def test_lock_is_not_inherited_by_programs_that_the_run_starts(tmp_path):
    first = folder(tmp_path)
    with subprocess.Popen(["sleep", "60"]) as program:
        with first.running():
            pass
        with open(tmp_path / LOCK_FILE) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        program.kill()
