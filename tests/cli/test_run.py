"""`layerbits list`, `info` and `run`: output, folders, and errors in the arguments."""

import json
import runpy
import sys

import pytest

from layerbits.cli import main
from layerbits.experiments import EXPERIMENTS
from layerbits.kernels import backends
from tests.support.run_files import run_status
from tests.support.tiny_run import TINY_RUN

# The experiment with one weight and a training of ten steps.
NEURON = ["run", "single-neuron", "--set=tolerance=0.1", "--set=weights=1", "--set=epochs=10"]


def test_list_has_a_line_for_each_experiment(capsys):
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(EXPERIMENTS)


def test_info_prints_versions_and_back_ends(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "torch" in out
    assert "cpu: " in out


def test_run_prints_its_folder_and_summary_and_records_its_seed(tmp_path, capsys):
    assert main([*NEURON, "--seed=7", f"--out={tmp_path / 'run'}"]) == 0
    captured = capsys.readouterr()
    assert str(tmp_path / "run") in captured.out
    assert "largest error" in captured.out
    assert captured.err == ""
    assert json.loads((tmp_path / "run" / "run.json").read_text())["configuration"]["seed"] == 7


def test_default_folder_has_the_name_of_the_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*NEURON, "--quick"]) == 0
    assert run_status(tmp_path / "runs" / "single-neuron-quick") == "finished"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nonesuch"], "nonesuch: no such experiment; there are szt-tanh, "),
        (["szt-tanh", "--set=epochs"], "--set: got 'epochs', wanted KEY=VALUE"),
        (["szt-tanh", "--set=beta=1"], "beta: no such setting; there are seed, "),
        (["szt-tanh", "--set=epochs=many"], "epochs: got 'many'"),
        (["szt-tanh", "--set=epochs=1.5"], "epochs: got '1.5'"),
        (["szt-tanh", "--set=epochs=0"], "epochs: got 0"),
        (["szt-tanh", f"--set=batch_size={10**30}"], "batch_size: got 1000"),
        (["szt-tanh", "--set=sigma=-1"], "sigma: got -1.0"),
        (["szt-tanh", "--set=sigma=nan"], "sigma: got nan"),
        (["szt-tanh", "--set=widths="], "widths: got ()"),
        (["szt-tanh", "--set=widths=10,0,3"], "widths: got (10, 0, 3)"),
        (["szt-tanh", "--set=test_fraction=1"], "test_fraction: got 1.0"),
        (["szt-tanh", "--seed=-1"], "seed: got -1"),
        (["szt-tanh", "--seed=x"], "seed: got 'x'"),
        (["szt-tanh", "--resume"], "no run.json, so no run to resume"),
        (["digits-cnn", "--set=variants=deterministic,loud"], "some of deterministic, noisy, dropout"),
        (["digits-cnn", "--set=batch_size=2"], "batch_size: got 2"),
        (["mnist-cnn"], "data: not given, wanted the folder with the four files"),
        (["mnist-cnn", "--set=data=absent"], "absent: no such folder"),
        (["mnist-cnn", "--set=data=."], "train-images-idx3-ubyte is missing"),
    ],
)
def test_wrong_argument_is_named_in_one_line(arguments, text, tmp_path, assert_one_error_line):
    (tmp_path / "other.txt").write_text("")
    assert main(["run", *arguments, f"--out={tmp_path}"]) == 2
    assert assert_one_error_line(text) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


@pytest.mark.skipif(backends()[1].usable, reason="there is a device")
def test_run_on_a_missing_device_is_refused_before_it_begins(tmp_path, assert_one_error_line):
    assert main([*TINY_RUN, "--set=device=cuda", f"--out={tmp_path / 'run'}"]) == 2
    assert assert_one_error_line("device: got cuda, ", " ".join(backends()[1].reason.split())) == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["info"], ["run", "single-neuron"]])
def test_unknown_isa_level_is_refused(command, tmp_path, monkeypatch, assert_one_error_line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "mmx")
    assert main(command) == 2
    assert_one_error_line("LAYERBITS_MAX_ISA: got 'mmx', wanted one of avx512")
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("arguments", [[], ["report"], ["run"], ["run", "szt-tanh", "--fast"]])
def test_unknown_commands_and_options_end_with_status_2(arguments):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2


def test_training_that_diverges_ends_with_one_line(tmp_path, assert_one_error_line):
    diverging = ["--set=start=10,10,10,10", "--set=learning_rate=1"]
    assert main(["run", "leaky-relu-pair", *diverging, f"--out={tmp_path}"]) == 2
    assert_one_error_line()
    assert run_status(tmp_path) == "interrupted"


def test_package_can_be_run_as_a_module(monkeypatch, assert_one_error_line):
    monkeypatch.setattr(sys, "argv", ["layerbits", "run", "nonesuch"])
    with pytest.raises(SystemExit) as raised:
        runpy.run_module("layerbits", run_name="__main__")
    assert raised.value.code == 2
    assert_one_error_line("nonesuch")
