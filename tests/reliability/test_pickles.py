"""A pickle in place of a file of a run, or of any other file that layerbits reads, is not executed."""

import io
import os
import pickle
import shutil
import zipfile

import pytest
import torch

import layerbits as lb
from layerbits.cli.user_network import load_parameters
from layerbits.data import read_idx
from layerbits.report import write_report
from layerbits.training import Checkpoints, load_checkpoint
from tests.support.noisy_classifier import adam, noisy_classifier


class Attack:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def saved(value, **options):
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def with_other_pickle(checkpoint, content):
    """Return a checkpoint of torch in which another pickle stands in place of its own."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as archive, zipfile.ZipFile(file, "w") as changed:
        for name in archive.namelist():
            changed.writestr(name, content if name.endswith("data.pkl") else archive.read(name))
    return file.getvalue()


STATE = {"run": "first", "epoch": 1, "optimizer": {}, "generators": {"cpu": torch.get_rng_state()}}


def payloads(marker):
    """Return files that would make the folder `marker`, by name."""
    code = f"__import__('os').mkdir({str(marker)!r})"
    attacks = {
        "mkdir": Attack(os.mkdir, str(marker)),
        "exec": Attack(exec, code),
        "eval": Attack(eval, code),
        "compile": Attack(pickle.loads, pickle.dumps(Attack(exec, code))),
    }
    contents = {name: pickle.dumps(attack) for name, attack in attacks.items()}
    contents |= {f"protocol {number}": pickle.dumps(attacks["mkdir"], number) for number in (0, 2)}
    contents["checkpoint"] = saved({**STATE, "model": attacks["exec"]})
    contents["earlier format"] = saved({**STATE, "model": attacks["exec"]}, _use_new_zipfile_serialization=False)
    contents["other pickle"] = with_other_pickle(saved(STATE), contents["exec"])
    contents["beside a key"] = saved({attacks["eval"]: 1, **STATE})
    return contents


def checkpoints(folder):
    model = noisy_classifier()
    return Checkpoints(model, adam(model), at=[1], directory=folder, run="first")


PLACES = {
    "checkpoints/latest.pt": lambda folder: checkpoints(folder).resume(),
    "checkpoints/epoch-000001.pt": lambda folder: load_checkpoint(folder, 1, noisy_classifier(), run="first"),
    "user.pt": lambda folder: load_parameters(noisy_classifier(), folder / "user.pt"),
    "user.safetensors": lambda folder: load_parameters(noisy_classifier(), folder / "user.safetensors"),
    "images.idx": lambda folder: read_idx(folder / "images.idx"),
    "images.idx.gz": lambda folder: read_idx(folder / "images.idx.gz"),
    "information.csv": lb.read_history,
    "information.json": lb.read_history,
    ".information.csv.sha256": lb.read_history,
    "run.json": lambda folder: write_report([folder]),
    "training.csv": lambda folder: write_report([folder]),
}


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("monitored")
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    lb.Monitor(model, torch.eye(2), at=[1], directory=folder, sigma=0.5).step(1)
    return folder


@pytest.mark.parametrize("place", PLACES)
def test_no_file_is_executed(place, monitored, tmp_path):
    marker = tmp_path / "executed"
    for name, content in payloads(marker).items():
        folder = tmp_path / name
        shutil.copytree(monitored, folder)
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_bytes(content)
        if place != "training.csv":  # a report leaves out what it cannot read
            with pytest.raises(lb.LayerbitsError):
                PLACES[place](folder)
        assert not marker.exists(), name


def test_payloads_execute_where_pickles_are_loaded(tmp_path):
    marker = tmp_path / "executed"
    for name, content in payloads(marker).items():
        if zipfile.is_zipfile(io.BytesIO(content)) or name == "earlier format":
            torch.load(io.BytesIO(content), weights_only=False)
        else:
            pickle.loads(content)
        assert marker.exists(), name
        marker.rmdir()
