"""`layerbits sweep`: cells, failures in one line, exit status."""

import csv
import shutil
import sys

import pytest

from layerbits.cli import main, sweep_command
from layerbits.experiments.sweeps import cell_runs

PROGRAM = """
import json, pathlib, sys
run = json.loads(sys.stdin.readline())
if run["settings"]["seed"] == "1":
    sys.exit("sigma: got 0")
folder = pathlib.Path(run["folder"])
folder.mkdir()
record = {key: run[key] for key in ("experiment", "configuration")}
record |= {"status": "finished", "summary": {"loss": float(run["threads"])}, "timings": {"training": 40.5}}
(folder / "run.json").write_text(json.dumps(record))
"""


@pytest.fixture(autouse=True)
def program(monkeypatch):
    monkeypatch.setattr(cell_runs, "_COMMAND", (sys.executable, "-c", PROGRAM))


def cells(path):
    with (path / "sweep.csv").open(newline="") as file:
        return [(row["cell"], row["status"]) for row in csv.DictReader(file)]


def test_sweep_runs_all_combinations(tmp_path, capsys):
    arguments = ["sweep", "szt-tanh", "--seeds=2:4", "--set=sigma=.005,.05", "--jobs=2", "--quick"]
    assert main([*arguments, f"--out={tmp_path}"]) == 0
    assert [name for name, _ in cells(tmp_path)] == [
        "sigma=.005,seed=2", "sigma=.005,seed=3", "sigma=.05,seed=2", "sigma=.05,seed=3",
    ]  # fmt: skip
    output = capsys.readouterr().out
    assert "szt-tanh: 4 runs, together about " in output
    assert "4 of 4 runs finished" in output
    assert main([*arguments, f"--out={tmp_path}"]) == 2
    assert "resume" in capsys.readouterr().err
    assert main([*arguments, f"--out={tmp_path}", "--resume"]) == 0
    assert f"szt-tanh: 0 of 4 runs left, into {tmp_path}\n" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "sigma=.05,seed=3")
    assert main([*arguments, f"--out={tmp_path}", "--resume"]) == 0
    assert "szt-tanh: 1 of 4 runs left, together about " in capsys.readouterr().out


def test_failed_cell_is_named_in_one_line_with_its_output(tmp_path, capsys):
    assert main(["sweep", "szt-tanh", "--seeds=0:3", f"--out={tmp_path}", "--retries=0"]) == 1
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        "seed=0: finished in 41 s, 1 of 3",
        f"layerbits: seed=1 failed: sigma: got 0; its output is in {tmp_path}/seed=1.log",
        "seed=2: finished in 41 s, 3 of 3",
    ]
    assert "2 of 3 runs finished" in output.out
    assert cells(tmp_path) == [("seed=0", "finished"), ("seed=1", "failed"), ("seed=2", "finished")]


def test_bar_of_a_terminal_stands_for_the_lines_of_finished_cells(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweep_command, "is_terminal", lambda: True)
    assert main(["sweep", "szt-tanh", "--seeds=0:1", f"--out={tmp_path}"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert "szt-tanh: 1 run, together" in output.out
    assert "1 of 1 run finished" in output.out


@pytest.mark.parametrize("begun", [False, True])
def test_interrupted_sweep_names_its_folder_if_a_run_was_started(begun, tmp_path, capsys, monkeypatch):
    def interrupt(*arguments, **options):
        if begun:
            (tmp_path / "seed=0.log").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_command, "sweep", interrupt)
    assert main(["sweep", "szt-tanh", "--seeds=0:1", f"--out={tmp_path}"]) == 130
    remedy = f"; finished runs are in {tmp_path}: add --resume to the command to continue" * begun
    assert capsys.readouterr().err == f"layerbits: interrupted{remedy}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["szt", "--seeds=0:3"], "szt: no such experiment"),
        (["szt-tanh"], "grid: got no settings"),
        (["szt-tanh", "--seeds=3:3"], "--seeds: got '3:3', wanted seeds such as 0:20"),
        (["szt-tanh", "--seeds=5:2"], "--seeds: got '5:2', wanted seeds such as 0:20"),
        (["szt-tanh", "--seeds=0:3", "--set=sigma=0"], "sigma: got 0"),
        (["szt-tanh", "--seeds=0:3", "--jobs=0"], "layerbits: --jobs: got 0"),
        (["szt-tanh", "--seeds=0:3", "--jobs=1001"], "layerbits: --jobs: got 1001, wanted at most 1000"),
        (["szt-tanh", "--seeds=0:3", "--threads=-1"], "layerbits: --threads: got -1"),
        (["szt-tanh", "--seeds=0:3", "--retries=-1"], "layerbits: --retries: got -1"),
        (["szt-tanh", "--seeds=0:3", "--timeout=-1"], "layerbits: --timeout: got -1"),
        (["szt-tanh", "--seeds=0:3", "--timeout=nan"], "layerbits: --timeout: got nan"),
        (["szt-tanh", "--seeds=0:3", "--timeout=inf"], "layerbits: --timeout: got inf"),
        (["szt-tanh", "--seeds=0:999999999"], "layerbits: --seeds: got 0:999999999, wanted at most 100000 seeds"),
        (["szt-tanh", "--seeds=0:3", "--slurm=partition"], "--slurm: got 'partition', wanted KEY=VALUE"),
    ],
)
def test_wrong_argument_is_named_in_one_line(arguments, text, tmp_path, assert_one_error_line):
    assert main(["sweep", *arguments, f"--out={tmp_path / 'sweep'}"]) == 2
    assert assert_one_error_line(text) == ""
    assert not (tmp_path / "sweep").exists()
