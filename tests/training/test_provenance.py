"""Tables and the files of a monitor and a run say what their numbers came from, and another environment is named."""

import copy
import hashlib
import json

import numpy as np
import pytest
import torch

import layerbits as lb
from layerbits.experiments import EXPERIMENTS, RunFolder
from layerbits.kernels import _cpu, environment
from tests.support.networks import INPUTS, tanh_mlp

SETTINGS = lb.MeasurementSettings(queries=4, seed=3)


def table_of(model=None, inputs=INPUTS, **options):
    model = model or tanh_mlp(4, 3, 2, dtype=INPUTS.dtype)
    return lb.layer_information(model, inputs, sigma=0.5, queries=4, **options)


def monitor_in(folder, at=(1, 2)):
    return lb.Monitor(
        tanh_mlp(4, 3, 2, dtype=INPUTS.dtype), INPUTS, at=at, directory=folder, sigma=0.5, settings=SETTINGS
    )


def test_provenance_of_a_table_has_versions_seed_level_and_hashes():
    provenance = table_of(seed=3).provenance
    assert provenance["version of torch"] == torch.__version__
    assert provenance["version of numpy"] == np.__version__
    assert provenance["instruction set of layerbits"] == _cpu.level()
    assert (provenance["seed"], provenance["device"]) == (3, "cpu")
    assert len(provenance["weights"]) == len(provenance["inputs"]) == 64
    assert provenance["labels"] == ""


@pytest.mark.parametrize("part", ["weights", "inputs", "labels", "seed"])
def test_provenance_differs_where_the_measurement_does(part):
    model = tanh_mlp(4, 3, 2, dtype=INPUTS.dtype)
    first = table_of(model).provenance
    options = {}
    if part == "weights":
        with torch.no_grad():
            model[0].weight[0, 0] += 1
    elif part == "inputs":
        options["inputs"] = INPUTS + 1
    elif part == "labels":
        options["labels"] = torch.arange(len(INPUTS)) % 2
    else:
        options["seed"] = 1
    second = table_of(model, **options).provenance
    assert {key for key in first if first[key] != second[key]} == {part}


def test_equal_numbers_are_equal_whatever_their_provenance():
    table = table_of()
    assert lb.InformationTable(table.rows) == table
    assert table["1"].provenance == table.bits.provenance == table.provenance


def test_signals_have_a_provenance():
    signals = torch.eye(3)
    first, second = (lb.information(values, 0.5, queries=2).provenance for values in (signals, 2 * signals))
    assert {key for key in first if first[key] != second[key]} == {"signals"}
    assert (first["device"], first["labels"]) == ("cpu", "")
    other_noise = lb.information(signals, 1.0, queries=2).provenance
    assert {key for key in first if first[key] != other_noise[key]} == {"noise"}
    labelled = lb.information(signals, 0.5, torch.tensor([0, 1, 1]), queries=2).provenance
    assert {key for key in first if first[key] != labelled[key]} == {"labels"}


def test_network_with_a_sparse_buffer_has_a_hash():
    model = tanh_mlp(4, 3, 2, dtype=INPUTS.dtype)
    model.register_buffer("graph", torch.eye(3).to_sparse())
    first = table_of(model).provenance["weights"]
    assert table_of(copy.deepcopy(model)).provenance["weights"] == first
    model.graph = 2 * model.graph
    assert table_of(model).provenance["weights"] != first


def test_files_of_a_monitor_keep_the_provenance(tmp_path):
    table = monitor_in(tmp_path).step(1)
    assert table.provenance["seed"] == 3
    assert lb.read_history(tmp_path)[1].provenance == table.provenance
    resumed = monitor_in(tmp_path)
    resumed.step(2)
    assert resumed.tables[1].provenance == table.provenance
    (group,) = json.loads((tmp_path / "information.json").read_text())["environments"]
    assert group == {**environment(), "device": "cpu", "epochs": [1, 2]}
    empty = monitor_in(tmp_path / "restored")
    empty.load_state_dict(resumed.state_dict())
    assert empty.tables[2].provenance == table.provenance


@pytest.mark.parametrize(("noise", "given", "recorded"), [(False, None, None), (False, 5, 5), (True, None, 820)])
def test_default_draws_are_recorded_where_a_layer_is_behind_noise(noise, given, recorded, tmp_path):
    model = tanh_mlp(4, 3, 3, 2, dtype=INPUTS.dtype)
    options = {"model": lb.noisify(model, sigma=0.5)} if noise else {"model": model, "sigma": 0.5}
    settings = lb.MeasurementSettings(queries=4, draws=given)
    lb.Monitor(**options, inputs=INPUTS, at=[1], directory=tmp_path, settings=settings)
    assert json.loads((tmp_path / "information.json").read_text())["draws"] == recorded


@pytest.mark.skipif(_cpu.level() == _cpu.levels()[-1], reason="needs two levels")
def test_monitor_resumed_at_another_level_says_so(tmp_path, monkeypatch):
    monitor_in(tmp_path).step(1)
    level = _cpu.level()
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "sse2")
    with pytest.warns(RuntimeWarning, match=rf"another instruction set of layerbits \({level}, now sse2\)") as caught:
        resumed = monitor_in(tmp_path)
    assert [warning.filename for warning in caught] == [__file__]
    resumed.step(2)
    groups = json.loads((tmp_path / "information.json").read_text())["environments"]
    assert [(group["instruction set of layerbits"], group["epochs"]) for group in groups] == [
        (level, [1]),
        ("sse2", [2]),
    ]


@pytest.mark.skipif(_cpu.level() == _cpu.levels()[-1], reason="needs two levels")
def test_monitor_restored_at_another_level_says_so(tmp_path, monkeypatch):
    measured = monitor_in(tmp_path / "measured")
    measured.step(1)
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "sse2")
    restored = monitor_in(tmp_path / "restored")
    with pytest.warns(RuntimeWarning, match=r"the state: .* another instruction set of layerbits"):
        restored.load_state_dict(measured.state_dict())


def test_each_epoch_has_its_own_number_of_threads(tmp_path, monkeypatch):
    observed = monitor_in(tmp_path)
    tables = []
    for epoch, threads in ((1, 1), (2, 3)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        tables.append(observed.step(epoch))
    assert [table.provenance["number of torch's threads"] for table in tables] == ["1", "3"]


def test_folder_of_an_earlier_version_without_labels_is_resumed(tmp_path):
    """Earlier versions wrote the hash of nothing for labels that are missing."""
    monitor_in(tmp_path).step(1)
    path = tmp_path / "information.json"
    content = json.loads(path.read_text()) | {"labels": hashlib.sha256().hexdigest()}
    content.pop("checksum", None)
    path.write_text(json.dumps(content))
    assert list(monitor_in(tmp_path).tables) == [1]


@pytest.mark.parametrize("damage", [3, [3], [{"epochs": 1}], [{"epochs": ["1"]}]])
def test_damaged_environments_are_refused(tmp_path, damage):
    monitor_in(tmp_path).step(1)
    path = tmp_path / "information.json"
    content = json.loads(path.read_text()) | {"environments": damage}
    content.pop("checksum", None)
    path.write_text(json.dumps(content))
    with pytest.raises(lb.UsageError, match=r"information.json: cannot be read: environments"):
        lb.read_history(tmp_path)


def run_in(folder):
    return RunFolder(folder, experiment="szt-tanh", config=EXPERIMENTS["szt-tanh"].quick_config(), resume=True)


@pytest.mark.skipif(_cpu.level() == _cpu.levels()[-1], reason="needs two levels")
def test_run_resumed_at_another_level_says_so(tmp_path, monkeypatch):
    for _ in range(2):
        with run_in(tmp_path).running():  # the second without a warning
            pass
    level = _cpu.level()
    monkeypatch.setenv("LAYERBITS_MAX_ISA", "sse2")
    with pytest.warns(RuntimeWarning, match=r"the run had another instruction set of layerbits") as caught:
        folder = run_in(tmp_path)
    assert [warning.filename for warning in caught] == [__file__]
    with folder.running():
        pass
    environments = json.loads((tmp_path / "run.json").read_text())["environments"]
    assert [item["instruction set of layerbits"] for item in environments] == [level, "sse2"]


@pytest.mark.parametrize("damage", [3, [3]])
def test_damaged_environments_of_a_run_are_refused(tmp_path, damage):
    with run_in(tmp_path).running():
        pass
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"environments": damage}))
    with pytest.raises(lb.UsageError, match=r"run.json: cannot be read: its environments are"):
        run_in(tmp_path)


def test_control_characters_in_an_environment_are_escaped(tmp_path):
    with run_in(tmp_path).running():
        pass
    path = tmp_path / "run.json"
    environments = [{**environment(), "version of torch": "\x1b[31m"}]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"environments": environments}))
    with pytest.warns(RuntimeWarning, match=r"version of torch \('\\x1b\[31m', now"):
        run_in(tmp_path)
