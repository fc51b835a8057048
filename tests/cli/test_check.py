"""`layerbits check`: the table of intervals, its file, and exit statuses."""

import csv

import pytest

from layerbits._base import Estimate
from layerbits.calibration import V1
from layerbits.cli import check_command, main

TASKS = [task for task in V1 if task.name in ("equal", "neuron-5")]


@pytest.fixture
def two_tasks(monkeypatch):
    monkeypatch.setattr(check_command, "V1", TASKS)
    monkeypatch.setattr(check_command, "V2", [])
    monkeypatch.setattr(check_command, "V3", [])
    monkeypatch.setattr(check_command, "BASELINES", [])
    monkeypatch.setattr(check_command, "threads", lambda: 1)
    monkeypatch.setattr(check_command, "slowdown", lambda: 10.0)


@pytest.mark.usefixtures("two_tasks")
def test_check_prints_a_row_for_each_known_quantity(tmp_path, capsys):
    assert main(["check", "--seeds=3", f"--out={tmp_path / 'check.csv'}"]) == 0
    first, head, *lines, last = capsys.readouterr().out.splitlines()
    quantities = [
        [task.name, name] for task in TASKS for name in (task.truths if task.name == "neuron-5" else ["I(X;T)"])
    ]
    assert first == "2 tasks, 3 seeds: about 6 s on 1 core"
    assert head.split()[:2] == ["task", "quantity"]
    assert [line.split()[:2] for line in lines] == quantities
    assert all("3/3" in line for line in lines)
    assert last == "too few seeds are right in 0 of 6 rows"
    with (tmp_path / "check.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[row["task"], row["quantity"]] for row in rows] == quantities
    assert [path.name for path in tmp_path.iterdir()] == ["check.csv"]


@pytest.mark.parametrize(("options", "seeds"), [([], 200), (["--quick"], 20), (["--quick", "--seeds=7"], 7)])
def test_options_set_the_number_of_seeds(options, seeds, monkeypatch):
    calls = []
    monkeypatch.setattr(
        check_command, "coverage_in_processes", lambda tasks, seeds, processes: calls.append(list(seeds)) or []
    )
    assert main(["check", *options]) == 0
    assert calls == [list(range(seeds))]


@pytest.mark.usefixtures("two_tasks")
def test_check_ends_with_status_1_if_intervals_miss_the_true_value(monkeypatch, capsys):
    def estimate(*_, **__):
        return Estimate(0.1, 0.01, 0.09, 0.11, 0.95, 100)

    monkeypatch.setattr("layerbits.calibration.task_estimates.mixture_information", estimate)
    assert main(["check", "--seeds=10"]) == 1
    out = capsys.readouterr().out
    assert "0/10" in out
    assert "too few seeds are right in" in out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--seeds=0"], "--seeds: got 0"),
        (["--out=nowhere/check.csv"], "--out: got nowhere/check.csv"),
        (["--out=."], "--out: got ."),
    ],
)
def test_wrong_option_is_named_in_one_line(options, text, tmp_path, monkeypatch, assert_one_error_line):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *options]) == 2
    assert assert_one_error_line(text) == ""
    assert list(tmp_path.iterdir()) == []
