"""Experiments with ``device=cuda`` write the files of a run on the CPU, and train and measure on the device."""

import json

import pytest
import torch

from layerbits.cli import main, run_command
from layerbits.experiments import EXPERIMENTS
from layerbits.experiments.szt import settings as szt_settings

# The mean square error of the stand-in resizes an intermediate result.
pytestmark = pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")

SHORT = {"epochs": 2, "evaluations": 2, "measurements": 2}
SMALL = {
    "szt-tanh": {"widths": "3", "draws": 2, "queries": 2},
    "szt-tanh-orthonormal": {"widths": "3", "draws": 2, "queries": 2},
    "szt-linear": {"widths": "3", "draws": 2, "queries": 2},
    "szt-relu": {"widths": "3", "draws": 2, "queries": 2, "sigmas": "0.1", "activations": "gelu"},
    "szt-binning": {"widths": "3", "draws": 2, "queries": 2},
    "single-neuron": {"tolerance": 0.5, "max_draws": 64, "weights": "0.5,2", "sigmas": "0.5"},
    "leaky-relu-pair": {"tolerance": 0.5, "max_draws": 64},
    "digits-cnn": {
        "repeats": 1,
        "sigmas": "0.1",
        "channels": "3",
        "units": 8,
        "bins": 20,
        "batch_size": 256,
        "jobs": 1,
    },
}


def run(name, device, path, *options):
    settings = SHORT | SMALL[name] | {"device": device}
    texts = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return main(["run", name, "--out", str(path), *texts, *options])


@pytest.fixture
def fewer_inputs(monkeypatch):
    """Use 133 of the 4096 inputs of the SZT data, because sums over pairs of inputs are slow on the stand-in."""
    data = szt_settings.szt_dataset()
    subset = type(data)(data.inputs[::31], data.labels[::31])
    monkeypatch.setattr(szt_settings, "szt_dataset", lambda: subset)


@pytest.fixture
def without_figures(monkeypatch):
    """Plot no figures, because they use only tables and no device."""
    for experiment in EXPERIMENTS.values():
        monkeypatch.setattr(type(experiment), "plot", lambda experiment, config, path: None)


@pytest.mark.usefixtures("fewer_inputs", "without_figures")
@pytest.mark.parametrize("name", SMALL)
def test_run_computes_on_its_device_and_writes_the_files_and_columns_of_a_run_on_the_cpu(name, tmp_path, monkeypatch):
    devices = set()
    forward = torch.nn.Linear.forward

    def recorded_forward(layer, signal):
        if len(signal) > 1:  # a pass of one input lists the layers of a new network, before it moves to the device
            devices.add(signal.device.type)
        return forward(layer, signal)

    headers = {}
    for device in ("cpu", "cuda"):
        path = tmp_path / device
        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.Linear, "forward", recorded_forward)
            patch.setattr(run_command, "slowdown", lambda: 1.0)  # its probe trains on the CPU
            assert run(name, device, path) == 0
        assert devices == {device}
        devices.clear()
        files = [file for file in path.rglob("*") if file.is_file() and file.suffix != ".png"]
        headers[device] = {
            str(file.relative_to(path)): file.read_text().partition("\n")[0] if file.suffix == ".csv" else ""
            for file in files
        }
    assert headers["cuda"] == headers["cpu"]
    record = json.loads((tmp_path / "cuda" / "run.json").read_text())
    assert record["configuration"]["device"] == "cuda"
    assert record["machine"]["device"].startswith("cuda: ")


@pytest.mark.usefixtures("without_figures")
def test_run_is_not_resumed_on_another_device(tmp_path, capsys):
    assert run("leaky-relu-pair", "cuda", tmp_path) == 0
    assert run("leaky-relu-pair", "cuda", tmp_path, "--resume") == 0
    capsys.readouterr()
    assert run("leaky-relu-pair", "cpu", tmp_path, "--resume") == 2
    error = capsys.readouterr().err
    assert error == "layerbits: device: the run to resume has 'cuda', got 'cpu'; give the same, or another folder\n"


def test_missing_device_is_refused_before_the_run(tmp_path, capsys):
    count = torch.cuda.device_count()
    assert run("leaky-relu-pair", f"cuda:{count}", tmp_path / "run") == 2
    assert capsys.readouterr().err.startswith(f"layerbits: device: got cuda:{count}, which is not usable here: there ")
    assert not (tmp_path / "run").exists()
