"""Settings on the command line: the list of settings, files of settings, and completion in bash."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from layerbits import MeasurementSettings
from layerbits._base import UsageError
from layerbits.cli import main
from layerbits.experiments import EXPERIMENTS, settings_table, with_settings

NEURON = ["run", "single-neuron", "--set=tolerance=0.1", "--set=weights=1"]


@pytest.mark.parametrize("config", [*(e.config_type() for e in EXPERIMENTS.values()), MeasurementSettings()])
def test_every_setting_has_a_remark_and_its_default(config):
    settings = settings_table(config)
    assert [setting.name for setting in settings] == [field.name for field in dataclasses.fields(config)]
    assert [setting.default for setting in settings] == [getattr(config, setting.name) for setting in settings]
    assert all(setting.remark.endswith((".", ")")) for setting in settings)


def test_remarks_of_a_subclass_replace_those_of_its_base():
    by_name = {setting.name: setting for setting in settings_table(EXPERIMENTS["digits-cnn"].config_type())}
    assert by_name["momentum"].remark == "Momentum of the optimizer; an epoch has 29 steps, on MNIST 1875."
    assert by_name["momentum"].source == ""
    source = "a secondary account of the paper"
    remark = "Channels of the convolution layers."
    assert by_name["channels"] == ("channels", "tuple[int, ...]", (16, 32), remark, source)


def test_help_lists_type_default_quick_value_remark_and_source(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as raised:
        main(["run", "szt-tanh", "--quick", "--help"])
    assert raised.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    quick = EXPERIMENTS["szt-tanh"].quick["epochs"]
    at = lines.index(f"  epochs: int = 10000 (quick: {quick})")
    assert lines[at + 1] == "      Epochs of the training. Source: the authors' article on the paper."
    assert "  widths: tuple[int, ...] = 10,7,5,4,3" in lines
    assert "  queries: int | None = None" in lines


def test_help_without_a_name_lists_options_alone(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    out = capsys.readouterr().out
    assert "--resume" in out
    assert "settings:" not in out


def test_help_of_an_unknown_experiment_is_one_line(assert_one_error_line):
    assert main(["run", "nonesuch", "--help"]) == 2
    assert assert_one_error_line("nonesuch: no such experiment; there are szt-tanh, ") == ""


def test_list_as_json_has_all_settings(capsys):
    assert main(["list", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(entries) == list(EXPERIMENTS)
    entry = entries["szt-tanh"]
    assert entry["description"] == EXPERIMENTS["szt-tanh"].description
    assert {
        "name": "learning_rate", "type": "float", "default": 4e-4, "remark": "Learning rate of Adam.",
        "source": "the code of Shwartz-Ziv and Tishby",
    } in entry["settings"]  # fmt: skip
    assert entry["quick"] == json.loads(json.dumps(dict(EXPERIMENTS["szt-tanh"].quick)))


def test_options_replace_settings_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(type(EXPERIMENTS["single-neuron"]), "run", lambda *_: None)
    file = tmp_path / "settings.toml"
    file.write_text('seed = 3\nepochs = 10\nshown_epochs = [1, 5]\nlearning_rate = 0.5\nbias = "0.25"\nweight = 1\n')
    out = tmp_path / "run"
    assert main([*NEURON, f"--config={file}", "--seed=7", "--set=learning_rate=1e-3", f"--out={out}"]) == 0
    configuration = json.loads((out / "run.json").read_text())["configuration"]
    expected = {"seed": 7, "epochs": 10, "shown_epochs": [1, 5], "learning_rate": 1e-3, "bias": 0.25, "weight": 1.0}
    assert {name: configuration[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("epochs 10", ("settings.toml is no TOML", "epochs = 500")),
        ("epochs = 1.5", ("epochs: got '1.5', wanted a value of type int",)),
        ("epochs = true", ("epochs: got 'True'",)),
        ("beta = 1", ("beta: no such setting; there are seed, ",)),
        ("[szt-tanh]\nepochs = 10", ("szt-tanh: got a dict, wanted a number, a text or a list",)),
        ("epochs = 2147483648", ("epochs: got 2147483648, wanted at most 2147483647",)),
    ],
)
def test_wrong_settings_in_a_file_are_named_in_one_line(content, texts, tmp_path, assert_one_error_line):
    file = tmp_path / "settings.toml"
    file.write_text(content)
    assert main([*NEURON, f"--config={file}", f"--out={tmp_path / 'run'}"]) == 2
    assert assert_one_error_line(*texts) == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("file", ["/dev/zero", "pipe"])
def test_special_file_of_settings_is_refused(file, tmp_path, assert_one_error_line):
    if file == "pipe":
        file = tmp_path / file
        os.mkfifo(file)
    assert main([*NEURON, f"--config={file}"]) == 2
    assert_one_error_line("--config: ", "cannot be read (it is not a regular file)")


def test_missing_file_of_settings_is_named(tmp_path, assert_one_error_line):
    assert main([*NEURON, f"--config={tmp_path / 'absent.toml'}"]) == 2
    assert_one_error_line("--config: ", "absent.toml cannot be read (No such file or directory)")


def test_a_truth_value_is_read_from_its_name():
    assert with_settings(MeasurementSettings(), {"simultaneous": "True"}).simultaneous
    with pytest.raises(UsageError, match=r"^simultaneous: got 'no', wanted True or False$"):
        with_settings(MeasurementSettings(), {"simultaneous": "no"})


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["layerbits", "mea"], ["measure"]),
        (["layerbits", "run", "szt-tanh-"], ["szt-tanh-orthonormal"]),
        (["layerbits", "run", "szt-tanh", "--qu"], ["--quick"]),
        (["layerbits", "completion", "z"], ["zsh"]),
        (["layerbits", "run", "--quick", "szt-tanh", "--set", "ep"], ["epochs="]),
        (["layerbits", "sweep", "spiral", "--set", "tol"], ["tolerance="]),
        (["layerbits", "measure", "net.py", "--set", "dr"], ["draws="]),
        (["layerbits", "run", "--set", "dr"], []),
    ],
)
def test_bash_completes_commands_experiments_options_and_settings(words, completions, tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    command = (
        f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        "compopt() { :; }; "  # works only in a completion that the shell begins
        f"_layerbits layerbits '{words[-1]}' '{words[-2]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert process.stdout.split() == completions


def test_completion_for_zsh_has_the_experiments_and_their_settings(capsys):
    assert main(["completion", "zsh"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("#compdef layerbits\n")
    assert f"({' '.join(EXPERIMENTS)})" in out
    assert "]:KEY=VALUE:_layerbits_settings" in out
    keys = [setting.name for setting in settings_table(EXPERIMENTS["spiral"].config_type())]
    assert f"spiral) compadd -S = -- {' '.join(keys)}; return;;" in out


def test_completion_without_its_library_names_the_extra(monkeypatch, assert_one_error_line):
    monkeypatch.setitem(sys.modules, "shtab", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["completion", "bash"]) == 2
    assert_one_error_line("shtab: not installed", "pip install 'layerbits[completion]'")
