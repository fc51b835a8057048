"""`layerbits measure`: a network of a script, at checkpoints, into a folder that `report` takes."""

import argparse
import os

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.cli import main
from tests.support.run_files import file_contents

SCRIPT = """
from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn


@dataclasses.dataclass
class Sizes:  # looked up by its module
    units: int = 4


def make(folder=None):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, Sizes().units), nn.Tanh(), nn.Linear(4, 2))
    inputs = torch.eye(3).repeat(2, 1) if folder is None else torch.load(folder / "inputs.pt")
    return network, inputs, torch.arange(6) % 3


def with_options():
    network, inputs, labels = make()
    return {"model": network, "inputs": inputs, "labels": labels, "sigma": 0.25, "layers": "0"}


def needs_a_folder(folder):
    return make(folder)


def returns_three():
    return 3


def returns_an_unknown_key():
    return {"model": nn.Tanh(), "inputs": torch.eye(2), "noise": 1}


def returns_no_inputs():
    return {"model": nn.Tanh()}


def returns_no_module():
    return torch.tanh, torch.eye(2)


def raises():
    return [][1]


def with_two(first, second):
    return make(first)
"""
DRAWS = ["--set=draws=4", "--set=queries=4"]


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def network(scale=1.0):
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        made[0].weight.mul_(scale)
    return made


def values(table):
    return [row.value for row in table]


def measured(scale=1.0, **options):
    inputs, labels = torch.eye(3).repeat(2, 1), torch.arange(6) % 3
    return values(lb.layer_information(network(scale), inputs, labels, draws=4, queries=4, **options))


def test_network_of_a_script_is_measured_as_by_layer_information(script, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["measure", str(script), "--sigma=0.5", *DRAWS, f"--out={out}"]) == 0
    history = lb.read_history(out)
    assert history.epochs == (0,)
    assert values(history[0]) == measured(sigma=0.5)
    printed = capsys.readouterr().out
    assert f"epoch 0: the network of {script}\n" in printed
    assert str(history[0]) in printed
    assert f"`layerbits report {out}`" in printed
    assert main(["report", str(out)]) == 0


def test_options_of_the_function_hold_unless_the_command_line_has_them(script, tmp_path):
    command = ["measure", f"{script}:with_options", *DRAWS]
    assert main([*command, f"--out={tmp_path / 'a'}"]) == 0
    assert values(lb.read_history(tmp_path / "a")[0]) == measured(sigma=0.25, layers="0")
    assert main([*command, "--layers=1", "--sigma=0.5", f"--out={tmp_path / 'b'}"]) == 0
    assert values(lb.read_history(tmp_path / "b")[0]) == measured(sigma=0.5, layers="1")


def test_function_gets_the_folder_of_the_data(script, tmp_path):
    torch.save(2 * torch.eye(3).repeat(2, 1), tmp_path / "inputs.pt")
    out = tmp_path / "out"
    assert main(["measure", str(script), f"--data={tmp_path}", "--sigma=1", *DRAWS, f"--out={out}"]) == 0
    assert values(lb.read_history(out)[0]) != measured(sigma=1.0)


def test_checkpoints_become_epochs_whatever_their_order(script, tmp_path):
    torch.save(network(3.0).state_dict(), tmp_path / "late.pt")
    torch.save({"model": network(2.0).state_dict(), "epoch": 5}, tmp_path / "epoch-000005.pt")
    torch.save({"state_dict": network().state_dict()}, tmp_path / "epoch=2-step=40.ckpt")
    files = [f"10={tmp_path}/late.pt", f"{tmp_path}/epoch-000005.pt", f"{tmp_path}/epoch=2-step=40.ckpt"]
    command = ["measure", str(script), "--sigma=0.5", *DRAWS, f"--out={tmp_path / 'out'}"]
    assert main([*command, *(f"--checkpoint={file}" for file in files)]) == 0
    history = lb.read_history(tmp_path / "out")
    assert {epoch: values(history[epoch]) for epoch in history.epochs} == {
        2: measured(sigma=0.5), 5: measured(2.0, sigma=0.5), 10: measured(3.0, sigma=0.5)
    }  # fmt: skip
    before = file_contents(tmp_path / "out")
    assert main([*command, f"--checkpoint={files[1]}"]) == 0
    assert file_contents(tmp_path / "out") == before


def test_single_checkpoint_without_a_number_is_said_to_be_epoch_0(script, tmp_path, capsys):
    path = tmp_path / "best.pt"
    torch.save(network().state_dict(), path)
    command = ["measure", str(script), "--sigma=0.5", *DRAWS]
    for name, file, said in (("a", str(path), True), ("b", f"0={path}", False)):
        assert main([*command, f"--checkpoint={file}", f"--out={tmp_path / name}"]) == 0
        assert (f"{path} has no number after `epoch` in its name" in capsys.readouterr().out) == said
        assert lb.read_history(tmp_path / name).epochs == (0,)


class Hostile:
    def __reduce__(self):
        return os.system, ("exit 3",)


@pytest.mark.parametrize(
    ("content", "name"), [(Hostile(), "posix.system"), (argparse.Namespace(), "argparse.Namespace")]
)
def test_pickle_of_other_objects_is_refused_without_the_advice_to_load_it(content, name, script, tmp_path, capsys):
    path = tmp_path / "model.pt"
    torch.save({"model": content}, path)
    assert main(["measure", str(script), "--sigma=1", f"--checkpoint={path}", f"--out={tmp_path / 'out'}"]) == 2
    message = capsys.readouterr().err
    assert f"model.pt cannot be read (it has {name}, which is no tensor); wanted" in message
    assert "weights_only" not in message
    assert message.count("\n") == 1


def test_settings_may_come_from_a_file_and_from_safetensors(script, tmp_path):
    from safetensors.torch import save_file

    save_file(network(2.0).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "settings.toml").write_text('draws = 4\nqueries = 4\nconfidence = 0.9\nestimator = "draws"\n')
    command = ["measure", str(script), "--sigma=0.5", f"--config={tmp_path / 'settings.toml'}"]
    assert main([*command, f"--checkpoint={tmp_path / 'model.safetensors'}", f"--out={tmp_path / 'out'}"]) == 0
    history = lb.read_history(tmp_path / "out")
    assert history.confidence == 0.9
    assert values(history[0]) == measured(2.0, sigma=0.5, confidence=0.9)


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["absent.py"], ("absent.py: no such script",)),
        (["script.py:nonesuch"], ("script.py: got no function 'nonesuch'",)),
        (
            ["script.py:needs_a_folder"],
            ("script.py:needs_a_folder: missing a required argument", "with --data DIR of one"),
        ),
        (
            ["script.py:with_options", "--data=."],
            ("with_options: too many positional arguments", "with --data DIR of one"),
        ),
        (["script.py:with_two"], ("script.py:with_two: missing a required argument", "without required arguments")),
        (["script.py", "--data=absent"], ("--data: absent: no such folder",)),
        (["script.py:returns_three"], ("script.py:returns_three: got a result of type int, wanted (model, inputs)",)),
        (["script.py:returns_an_unknown_key"], ("returned a mapping with the key 'noise'",)),
        (["script.py:returns_no_inputs"], ("returned a mapping with no key 'inputs'",)),
        (["script.py:returns_no_module"], ("model: got builtin_function_or_method, wanted a torch.nn.Module",)),
        (["script.py:raises"], ("script.py, line 49: IndexError: list index out of range",)),
        (["broken.py"], ("broken.py: SyntaxError", "line 1")),
        (["exits.py"], ("exits.py, line 1: SystemExit: 3",)),
        (["script.py"], ("wanted a network with noise", "--sigma")),
        (["script.py", "--sigma=-1"], ("layerbits: sigma: got -1.0, wanted a positive",)),
        (["script.py", "--sigma=1", "--limit=0"], ("layerbits: limit: got 0, wanted",)),
        (["script.py", "--sigma=1", "--set=draws=x"], ("draws: got 'x'",)),
        (["script.py", "--sigma=1", "--checkpoint=absent.pt"], ("--checkpoint: absent.pt: no such file",)),
        (["script.py", "--sigma=1", "--checkpoint=script.py"], ("script.py cannot be read",)),
        (["script.py", "--sigma=1", "--checkpoint=junk.pt"], ("junk.pt cannot be read; wanted",)),
        (["script.py", "--sigma=1", "--checkpoint=other.pt"], ("other.pt has no parameters", "Missing key")),
        (
            ["script.py", "--sigma=1", "--checkpoint=part.pt"],
            ("part.pt lacks 1 of 4 tensors of this network: 2.bias;",),
        ),
        (["script.py", "--checkpoint=a.pt", "--checkpoint=b.pt"], ("a.pt: got no epoch", "write EPOCH=a.pt")),
        (["script.py", "--checkpoint=1=a.pt", "--checkpoint=1=b.pt"], ("got epoch 1 twice",)),
    ],
)
def test_wrong_argument_is_named_in_one_line(arguments, texts, script, tmp_path, monkeypatch, assert_one_error_line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("def make(:")
    (tmp_path / "exits.py").write_text("raise SystemExit(3)")
    (tmp_path / "junk.pt").write_text("hello")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    torch.save({name: tensor for name, tensor in network().state_dict().items() if name != "2.bias"}, "part.pt")
    assert main(["measure", *arguments, "--out=out"]) == 2
    assert_one_error_line(*texts)
    assert not (tmp_path / "out").exists()
