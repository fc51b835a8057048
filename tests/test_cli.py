"""The command line: exit statuses, messages, interruption and resuming."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from layerbits import cli
from layerbits._base import Estimate
from layerbits.calibration import V1
from layerbits.cli import main
from layerbits.kernels import backends
from layerbits.training import Checkpoints

SETTINGS = ["epochs=12", "evaluations=5", "measurements=4", "draws=3", "queries=3"]
TINY = ["run", "szt-tanh", *(f"--set={setting}" for setting in SETTINGS)]


def status_of(path):
    return json.loads((path / "run.json").read_text())["status"]


def tables(path):
    """The rows of training.csv and information.csv, but for the seconds."""
    found = {}
    for name in ("training.csv", "information.csv"):
        with (path / name).open(newline="") as file:
            found[name] = [{**row, "seconds": None} for row in csv.DictReader(file)]
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*TINY, f"--out={path}"]) == 0
    return path


def test_list_has_a_line_for_each_experiment(capsys):
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(cli.EXPERIMENTS)


def test_info_tells_versions_and_back_ends(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "torch" in out
    assert "cpu: " in out


# The neuron at one weight and after a few steps.
NEURON = ["run", "single-neuron", "--set=tolerance=0.1", "--set=weights=1", "--set=epochs=10"]


@pytest.mark.skipif(backends()[1].usable, reason="there is a device")
def test_run_on_a_device_that_is_not_there_is_one_line_before_it_begins(tmp_path, capsys):
    assert main([*TINY, "--set=device=cuda", f"--out={tmp_path / 'run'}"]) == 2
    output = capsys.readouterr()
    assert not output.out
    assert output.err.count("\n") == 1
    assert output.err.startswith("layerbits: device: got cuda, which is not usable here: ")
    assert " ".join(backends()[1].reason.split()) in output.err
    assert not (tmp_path / "run").exists()


def test_run_prints_where_the_results_are_and_the_summary(tmp_path, capsys):
    assert main([*NEURON, f"--out={tmp_path / 'run'}"]) == 0
    captured = capsys.readouterr()
    assert str(tmp_path / "run") in captured.out
    assert "largest error" in captured.out
    assert captured.err == ""


def test_results_go_to_a_folder_of_the_name_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*NEURON, "--quick"]) == 0
    assert status_of(tmp_path / "runs" / "single-neuron-quick") == "finished"


def test_seed_is_set_by_its_option(tmp_path):
    assert main([*NEURON, "--seed=7", f"--out={tmp_path}"]) == 0
    assert json.loads((tmp_path / "run.json").read_text())["configuration"]["seed"] == 7


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nonesuch"], "szt-tanh"),
        (["szt-tanh", "--set=epochs"], "KEY=VALUE"),
        (["szt-tanh", "--set=beta=1"], "sigma"),
        (["szt-tanh", "--set=epochs=many"], "epochs"),
        (["szt-tanh", "--set=epochs=1.5"], "epochs"),
        (["szt-tanh", "--set=epochs=0"], "epochs"),
        (["szt-tanh", f"--set=batch_size={10**30}"], "batch_size"),
        (["szt-tanh", "--set=sigma=-1"], "sigma"),
        (["szt-tanh", "--set=sigma=nan"], "sigma"),
        (["szt-tanh", "--set=widths="], "widths"),
        (["szt-tanh", "--set=widths=10,0,3"], "widths"),
        (["szt-tanh", "--set=test_fraction=1"], "test_fraction"),
        (["szt-tanh", "--seed=-1"], "seed"),
        (["szt-tanh", "--seed=x"], "seed"),
        (["szt-tanh", "--resume"], "resume"),
        (["digits-cnn", "--set=variants=deterministic,loud"], "some of deterministic, noisy, dropout"),
        (["digits-cnn", "--set=batch_size=2"], "which leaves one of 899 images"),
        (["mnist-cnn"], "data: not given, wanted the folder with the four files"),
        (["mnist-cnn", "--set=data=absent"], "absent: no such folder"),
        (["mnist-cnn", "--set=data=."], "train-images-idx3-ubyte is missing"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(arguments, word, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("")
    assert main(["run", *arguments, f"--out={tmp_path}"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("layerbits: ")
    assert word in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("arguments", [[], ["report"], ["run"], ["run", "szt-tanh", "--fast"]])
def test_unknown_commands_and_options_end_with_status_2(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_folder_with_results_is_not_written_over(uninterrupted, capsys):
    before = tables(uninterrupted)
    assert main([*TINY, f"--out={uninterrupted}"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert tables(uninterrupted) == before


def test_resuming_with_another_setting_names_it(uninterrupted, capsys):
    assert main([*TINY, "--set=sigma=0.01", f"--out={uninterrupted}", "--resume"]) == 2
    assert "sigma: the run to resume has 0.005, got 0.01" in capsys.readouterr().err


def test_finished_run_can_be_resumed_and_stays_as_it_is(uninterrupted):
    before = tables(uninterrupted)
    assert main([*TINY, f"--out={uninterrupted}", "--resume"]) == 0
    assert tables(uninterrupted) == before
    assert status_of(uninterrupted) == "finished"


@pytest.mark.parametrize("name", ["training.csv", "information.csv", "run.json", "checkpoints/latest.pt"])
@pytest.mark.parametrize("content", [b"", b"abc", b"\xff\xfe\x00"])
def test_damaged_run_is_one_line_and_exit_status_2(name, content, tmp_path, capsys, uninterrupted):
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    (run / name).write_bytes(content)
    assert main([*TINY, f"--out={run}", "--resume"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert Path(name).name in captured.err


def test_run_with_lost_rows_of_training_is_not_resumed(tmp_path, capsys, uninterrupted):
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    path = run / "training.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    assert main([*TINY, f"--out={run}", "--resume"]) == 2
    assert "training.csv" in capsys.readouterr().err


def test_lost_information_is_measured_again_from_the_checkpoints(tmp_path, uninterrupted):
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    (run / "information.csv").unlink()
    assert main([*TINY, f"--out={run}", "--resume"]) == 0
    assert tables(run) == tables(uninterrupted)


def test_work_that_proves_impossible_is_one_line_and_exit_status_2(tmp_path, capsys):
    diverging = ["--set=start=10,10,10,10", "--set=learning_rate=1"]
    assert main(["run", "leaky-relu-pair", *diverging, f"--out={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert status_of(tmp_path) == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_says_how_to_go_on_and_does(number, tmp_path, capsys, monkeypatch, uninterrupted):
    def raise_signal(self, epoch):
        step(self, epoch)
        if epoch == 7:
            signal.raise_signal(number)

    step = Checkpoints.step
    monkeypatch.setattr(Checkpoints, "step", raise_signal)
    assert main([*TINY, f"--out={tmp_path}"]) == 130
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "--resume" in captured.err
    assert status_of(tmp_path) == "interrupted"
    monkeypatch.setattr(Checkpoints, "step", step)
    assert main([*TINY, f"--out={tmp_path}", "--resume"]) == 0
    assert tables(tmp_path) == tables(uninterrupted)


def test_handler_of_sigterm_is_given_back():
    before = signal.getsignal(signal.SIGTERM)
    main(["list"])
    assert signal.getsignal(signal.SIGTERM) is before


_KILLED = """
import os, signal, sys
from layerbits.cli import main
from layerbits.experiments import szt

def killing(function):
    calls = iter(range(1, 1000))
    def wrapped(*arguments, **options):
        if next(calls) == {call}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return wrapped

szt.{victim}.step = killing(szt.{victim}.step)
main(sys.argv[1:])
"""


def run_killed_at(victim, call, arguments):
    """Run the command line in a process that kills itself when it calls ``victim.step`` for the `call`-th time."""
    script = _KILLED.format(victim=victim, call=call)
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_run_killed_in_training_and_again_while_measuring_equals_an_uninterrupted_one(tmp_path, uninterrupted):
    run_killed_at("Checkpoints", 7, [*TINY, f"--out={tmp_path}"])
    run_killed_at("Monitor", 1, [*TINY, f"--out={tmp_path}", "--resume"])
    assert status_of(tmp_path) == "running"
    assert main([*TINY, f"--out={tmp_path}", "--resume"]) == 0
    assert tables(tmp_path) == tables(uninterrupted)


@pytest.mark.parametrize("command", [["info"], ["run", "single-neuron"]])
def test_unknown_isa_level_is_one_line_and_exit_status_2(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "mmx")
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("layerbits: LAYERBITS_MAX_ISA: got 'mmx', wanted one of avx512")
    assert not list(tmp_path.rglob("run.json"))


def test_module_can_be_run_and_is_silent_about_progress():
    ended = subprocess.run(
        [sys.executable, "-m", "layerbits", "run", "nonesuch"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1


# check


TASKS = [task for task in V1 if task.name in ("equal", "neuron-5")]


@pytest.fixture
def two_tasks(monkeypatch):
    monkeypatch.setattr(cli, "V1", TASKS)


@pytest.mark.usefixtures("two_tasks")
def test_check_prints_a_row_for_each_quantity_that_is_known(tmp_path, capsys):
    assert main(["check", "--seeds=3", f"--out={tmp_path / 'check.csv'}"]) == 0
    head, *lines, last = capsys.readouterr().out.splitlines()
    known = [[task.name, name] for task in TASKS for name in (task.truths if task.name == "neuron-5" else ["I(X;T)"])]
    assert head.split()[:2] == ["task", "quantity"]
    assert [line.split()[:2] for line in lines] == known
    assert all("3/3" in line for line in lines)
    assert last == "6 intervals, 0 of which hold the truth too seldom"
    with (tmp_path / "check.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[row["task"], row["quantity"]] for row in rows] == known
    assert [path.name for path in tmp_path.iterdir()] == ["check.csv"]


@pytest.mark.parametrize(("options", "seeds"), [([], 100), (["--quick"], 20), (["--quick", "--seeds=7"], 7)])
def test_check_has_so_many_seeds(options, seeds, monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "coverage", lambda tasks, seeds: asked.append(list(seeds)) or [])
    assert main(["check", *options]) == 0
    assert asked == [list(range(seeds))]


@pytest.mark.usefixtures("two_tasks")
def test_check_ends_with_status_1_where_intervals_fail(monkeypatch, capsys):
    def estimate(*_, **__):
        return Estimate(0.1, 0.01, 0.09, 0.11, 0.95, 100)

    monkeypatch.setattr("layerbits.calibration.coverage_check.mixture_information", estimate)
    assert main(["check", "--seeds=10"]) == 1
    out = capsys.readouterr().out
    assert "0/10" in out
    assert "1 of which hold the truth too seldom" in out


@pytest.mark.parametrize(
    ("options", "word"), [(["--seeds=0"], "--seeds"), (["--out=nowhere/check.csv"], "--out"), (["--out=."], "--out")]
)
def test_check_of_nothing_or_to_nowhere_is_one_line_and_exit_status_2(options, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *options]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert word in captured.err
    assert list(tmp_path.iterdir()) == []
