"""Studies with ``device=cuda``: the files of a run on the CPU, from networks, data and measurements on the device."""

import dataclasses
import json

import pytest
import torch

from layerbits import cli
from layerbits.experiments import EXPERIMENTS, szt
from layerbits.experiments.run_folder import RunFolder
from layerbits.training.monitor import read_information

# What the stand-in's mean square error says of an intermediate result.
pytestmark = pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")

SHORT = {"epochs": 2, "evaluations": 2, "measurements": 2}
SMALL = {
    "szt-tanh": {"widths": "3", "draws": 2, "queries": 2},
    "szt-tanh-orthonormal": {"widths": "3", "draws": 2, "queries": 2},
    "szt-linear": {"widths": "3", "draws": 2, "queries": 2},
    "szt-relu": {"widths": "3", "draws": 2, "queries": 2, "sigmas": "0.1", "activations": "gelu"},
    "szt-binning": {"widths": "3", "draws": 2, "queries": 2},
    "single-neuron": {"max_draws": 64, "weights": "0.5,2", "sigmas": "0.5"},
    "leaky-relu-pair": {"max_draws": 64},
    "digits-cnn": {"repeats": 1, "sigmas": "0.1", "channels": "3", "units": 8, "bins": 20},
}


def run(name, device, path, *more):
    settings = SHORT | SMALL[name] | {"device": device}
    texts = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return cli.main(["run", name, "--out", str(path), *texts, *more])


@pytest.mark.parametrize("name", SMALL)
def test_run_leaves_the_files_and_columns_of_one_on_the_cpu(name, tmp_path, monkeypatch):
    devices = set()
    forward = torch.nn.Linear.forward

    def watched(layer, signal):
        devices.add(signal.device.type)
        return forward(layer, signal)

    found = {}
    for device in ("cpu", "cuda"):
        path = tmp_path / device
        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.Linear, "forward", watched)
            patch.setattr(EXPERIMENTS[name], "draw", lambda config, path: None)  # which draws from tables, on the CPU
            assert run(name, device, path) == 0
        assert devices == {device}
        devices.clear()
        files = [file for file in path.rglob("*") if file.is_file() and file.suffix != ".png"]
        found[device] = {
            str(file.relative_to(path)): file.read_text().partition("\n")[0] if file.suffix == ".csv" else ""
            for file in files
        }
    assert found["cuda"] == found["cpu"]
    record = json.loads((tmp_path / "cuda" / "run.json").read_text())
    assert record["configuration"]["device"] == "cuda"
    assert record["machine"]["device"].startswith("cuda: ")


def test_untrained_network_is_measured_as_on_the_cpu(tmp_path):
    """With weights that no step has moved, and fresh noise: intervals for one number overlap, at a risk below 0.1."""
    tables = {}
    for device in ("cpu", "cuda"):
        settings = {"widths": (4, 3), "draws": 8, "epochs": 1, "evaluations": 2, "measurements": 2, "device": device}
        config = dataclasses.replace(EXPERIMENTS["szt-tanh"].Config(), sigma=0.3, learning_rate=1e-30, **settings)
        folder = RunFolder(tmp_path / device, experiment="szt-tanh", config=config, resume=False)
        szt.train(config, szt.noisy_network(config, config.sigma), folder)
        tables[device] = read_information(tmp_path / device / "information.csv")[1]
    for here, there in zip(tables["cpu"], tables["cuda"], strict=True):
        assert (here.layer, here.quantity, here.draws) == (there.layer, there.quantity, there.draws)
        assert max(here.lower, there.lower) <= min(here.upper, there.upper)
        # The plug-in's own error, and a few of its standard errors apart.
        assert abs(here.value - there.value) <= 6 * (here.standard_error + there.standard_error) + 1e-6


def test_run_is_not_resumed_on_another_device(tmp_path, capsys):
    assert run("leaky-relu-pair", "cuda", tmp_path) == 0
    assert run("leaky-relu-pair", "cuda", tmp_path, "--resume") == 0
    capsys.readouterr()
    assert run("leaky-relu-pair", "cpu", tmp_path, "--resume") == 2
    error = capsys.readouterr().err
    assert error == "layerbits: device: the run to resume has 'cuda', got 'cpu'; give the same, or another folder\n"


def test_device_that_is_not_there_is_refused_before_the_run(tmp_path, capsys):
    count = torch.cuda.device_count()
    assert run("leaky-relu-pair", f"cuda:{count}", tmp_path / "run") == 2
    assert capsys.readouterr().err.startswith(f"layerbits: device: got cuda:{count}, which is not usable here: there ")
    assert not (tmp_path / "run").exists()
