"""Interrupted, killed and resumed runs."""

import itertools
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest

from layerbits.cli import main
from layerbits.training import Checkpoints, Monitor
from tests.support.run_files import run_status, run_tables
from tests.support.tiny_run import TINY_RUN, call_after_epoch


@pytest.fixture
def run_copy(finished_run, tmp_path):
    """Return a copy of the finished run, which a test may change."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def test_folder_with_results_is_not_overwritten(finished_run, assert_one_error_line):
    before = run_tables(finished_run)
    assert main([*TINY_RUN, f"--out={finished_run}"]) == 2
    assert_one_error_line("--resume")
    assert run_tables(finished_run) == before


def test_run_is_not_resumed_with_another_setting(finished_run, assert_one_error_line):
    assert main([*TINY_RUN, "--set=sigma=0.01", f"--out={finished_run}", "--resume"]) == 2
    assert_one_error_line("sigma: the run to resume has 0.005, got 0.01")


def test_resuming_a_finished_run_changes_no_result(finished_run, capsys):
    before = run_tables(finished_run)
    assert main([*TINY_RUN, f"--out={finished_run}", "--resume"]) == 0
    assert capsys.readouterr().out.startswith(f"szt-tanh: has finished before, into {finished_run}\n")
    assert run_tables(finished_run) == before
    assert run_status(finished_run) == "finished"


@pytest.mark.parametrize("name", ["training.csv", "information.csv", "run.json", "checkpoints/latest.pt"])
@pytest.mark.parametrize("content", [b"", b"abc", b"\xff\xfe\x00"])
def test_damaged_file_is_named_in_one_line(name, content, run_copy, assert_one_error_line):
    (run_copy / name).write_bytes(content)
    assert main([*TINY_RUN, f"--out={run_copy}", "--resume"]) == 2
    assert_one_error_line(Path(name).name)


@pytest.mark.parametrize("name", ["training.csv", "information.csv"])
def test_table_of_another_run_is_refused(name, run_copy, tmp_path, assert_one_error_line):
    other = tmp_path / "other"
    assert main([*TINY_RUN, "--seed=1", f"--out={other}"]) == 0
    for file in (name, f".{name}.sha256"):
        shutil.copyfile(other / file, run_copy / file)
    assert main([*TINY_RUN, f"--out={run_copy}", "--resume"]) == 2
    assert_one_error_line(f"{name}: cannot be read: it is of another run than run.json")


def test_table_without_checksum_is_read_with_a_warning(run_copy, finished_run):
    (run_copy / ".training.csv.sha256").unlink()
    with pytest.warns(RuntimeWarning, match=r"training\.csv: it has no checksum, so it is read unverified") as warned:
        assert main([*TINY_RUN, f"--out={run_copy}", "--resume"]) == 0
    assert len({(str(warning.message), warning.filename, warning.lineno) for warning in warned}) == 1  # shown once
    assert run_tables(run_copy) == run_tables(finished_run)


def test_run_with_missing_rows_of_training_is_not_resumed(run_copy, assert_one_error_line):
    path = run_copy / "training.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    assert main([*TINY_RUN, f"--out={run_copy}", "--resume"]) == 2
    assert_one_error_line("training.csv")


def test_missing_information_is_measured_again_from_the_checkpoints(run_copy, finished_run):
    (run_copy / "information.csv").unlink()
    assert main([*TINY_RUN, f"--out={run_copy}", "--resume"]) == 0
    assert run_tables(run_copy) == run_tables(finished_run)


def test_message_of_an_interrupted_run_has_the_option_that_resumes_the_run(
    tmp_path, assert_one_error_line, finished_run
):
    with call_after_epoch(7, lambda: signal.raise_signal(signal.SIGINT)):
        assert main([*TINY_RUN, f"--out={tmp_path}"]) == 130
    assert_one_error_line("--resume")
    assert run_status(tmp_path) == "interrupted"
    assert main([*TINY_RUN, f"--out={tmp_path}", "--resume"]) == 0
    assert run_tables(tmp_path) == run_tables(finished_run)


def test_sigterm_interrupts_a_run(tmp_path, assert_one_error_line):
    with call_after_epoch(1, lambda: signal.raise_signal(signal.SIGTERM)):
        assert main([*TINY_RUN, f"--out={tmp_path}"]) == 130
    assert_one_error_line("--resume")
    assert run_status(tmp_path) == "interrupted"


def test_handler_of_sigterm_is_restored():
    before = signal.getsignal(signal.SIGTERM)
    main(["list"])
    assert signal.getsignal(signal.SIGTERM) is before


def run_killed_at(owner, call, arguments):
    """Run the command line in a forked process that kills itself at the given call of ``owner.step``."""
    step, calls = owner.step, itertools.count(1)

    def step_or_kill(*step_arguments, **options):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*step_arguments, **options)

    def run():
        owner.step = step_or_kill
        main(arguments)

    # A new interpreter would import torch for seconds. A kill writes and closes nothing in either.
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # the test forks a process with threads
def test_run_killed_at_a_checkpoint_and_at_a_step_of_the_monitor_equals_an_uninterrupted_run(tmp_path, finished_run):
    run_killed_at(Checkpoints, 7, [*TINY_RUN, f"--out={tmp_path}"])
    run_killed_at(Monitor, 1, [*TINY_RUN, f"--out={tmp_path}", "--resume"])
    assert run_status(tmp_path) == "running"
    assert main([*TINY_RUN, f"--out={tmp_path}", "--resume"]) == 0
    assert run_tables(tmp_path) == run_tables(finished_run)
