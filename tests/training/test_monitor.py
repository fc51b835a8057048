"""The monitor and its information.csv."""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits._base import NoNoiseError, UsageError
from layerbits.estimators import MeasurementSettings, layer_information
from layerbits.training import Monitor, read_information
from layerbits.training import monitor as monitor_module
from tests.support import noisy_classifier as classifier_data
from tests.support.noisy_classifier import noisy_classifier

INPUTS, LABELS = classifier_data.INPUTS[:20], classifier_data.LABELS[:20]
SETTINGS = MeasurementSettings(draws=4, queries=3)


def make_monitor(directory, *, sigma=0.1, at=(1, 3), layers=None, **options):
    settings = dataclasses.replace(SETTINGS, **options)
    return Monitor(noisy_classifier(sigma), INPUTS, at=at, directory=directory, layers=layers, settings=settings)


def without_seconds(table):
    return [dataclasses.replace(row, seconds=0.0) for row in table]


def test_only_chosen_epochs_are_measured(tmp_path):
    monitor = make_monitor(tmp_path)
    assert [monitor.step(epoch) is not None for epoch in (1, 2, 3)] == [True, False, True]
    assert list(monitor.tables) == [1, 3]


def test_printed_and_notebook_forms_are_those_of_the_history(tmp_path):
    monitor = make_monitor(tmp_path)
    monitor.step(1)
    assert repr(monitor) == f"Monitor(directory={str(tmp_path)!r}, epochs=(1,))"
    assert monitor._repr_html_() == monitor.history._repr_html_()


def test_measurement_is_that_of_layer_information(tmp_path):
    settings = dataclasses.replace(SETTINGS, seed=5)
    monitor = Monitor(noisy_classifier(), INPUTS, LABELS, at=[1], directory=tmp_path, settings=settings)
    expected = layer_information(noisy_classifier(), INPUTS, LABELS, draws=4, queries=3, seed=5)
    measured = monitor.step(1)
    assert without_seconds(measured) == without_seconds(expected)


def test_tolerance_raises_the_number_of_draws(tmp_path):
    rows = make_monitor(tmp_path, tolerance=0.05, max_draws=8, layers="3").step(1)
    assert {row.draws for row in rows} == {8}
    assert "max_draws 8" in rows["3", "I(X;T)"].note


def test_table_read_from_the_file_equals_the_measured_table(tmp_path):
    monitor = make_monitor(tmp_path)
    monitor.step(1)
    monitor.step(3)
    assert read_information(tmp_path / "information.csv") == dict(monitor.tables)


def test_missing_standard_error_is_an_empty_cell(tmp_path):
    table = make_monitor(tmp_path).step(1)
    path = tmp_path / "information.csv"
    with path.open(newline="") as file:
        cells = [row["standard_error"] for row in csv.DictReader(file)]
    assert [not cell for cell in cells] == [math.isnan(row.standard_error) for row in table]
    assert "" in cells
    assert read_information(path) == {1: table}


def test_columns_are_the_documented_ones(tmp_path):
    make_monitor(tmp_path).step(1)
    assert (tmp_path / "information.csv").read_text().splitlines()[0] == (
        "epoch,layer,quantity,estimator,value,standard_error,lower,upper,unit,draws,seconds,note,"
        "plug_in,plug_in_error,decoded,decoded_error,decoder,limited_by,flags"
    )


def test_resumed_monitor_does_not_measure_again(tmp_path, monkeypatch):
    table = make_monitor(tmp_path).step(1)
    monkeypatch.setattr(monitor_module, "measure_layers", None)
    assert make_monitor(tmp_path).step(1) == table


def test_resumed_monitor_adds_to_the_file(tmp_path):
    make_monitor(tmp_path).step(3)
    make_monitor(tmp_path).step(1)
    assert list(read_information(tmp_path / "information.csv")) == [1, 3]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sigma", {"sigma": 0.2}), ("layers", {"layers": ["1"]}), ("draws", {"draws": 5}), ("seed", {"seed": 1}),
        ("queries", {"queries": None}), ("tolerance", {"tolerance": 0.1}), ("max_seconds", {"max_seconds": 1}),
        ("max_draws", {"max_draws": 8}),
    ],
)  # fmt: skip
def test_folder_measured_with_other_settings_is_refused(tmp_path, name, options):
    make_monitor(tmp_path).step(1)
    with pytest.raises(UsageError, match=f"{name}: .*information.csv"):
        make_monitor(tmp_path, **options)


def test_folder_measured_with_another_covariance_is_refused(tmp_path):
    make_monitor(tmp_path, sigma=torch.eye(3)).step(1)
    assert make_monitor(tmp_path, sigma=torch.eye(3)).tables
    with pytest.raises(UsageError, match=r"sigma: .*information\.csv"):
        make_monitor(tmp_path, sigma=2 * torch.eye(3))


def test_settings_may_change_before_the_first_measurement(tmp_path):
    make_monitor(tmp_path)
    make_monitor(tmp_path, draws=5).step(1)
    assert make_monitor(tmp_path, draws=5).step(1) is not None


def test_folder_with_other_columns_is_refused(tmp_path):
    make_monitor(tmp_path).step(1)
    (tmp_path / "information.csv").write_text("epoch,layer\n1,tanh\n")
    with pytest.raises(UsageError, match="columns"):
        make_monitor(tmp_path)


def test_table_without_its_settings_is_refused(tmp_path):
    make_monitor(tmp_path).step(1)
    (tmp_path / "information.json").unlink()
    with pytest.raises(UsageError, match="unknown"):
        make_monitor(tmp_path)


def test_layer_can_be_chosen_by_its_name(tmp_path):
    assert {row.layer for row in make_monitor(tmp_path, layers="3").step(1)} == {"3"}


def test_measurement_does_not_change_the_noise_of_the_training(tmp_path):
    noisy, outputs = noisy_classifier(), []
    with torch.random.fork_rng(devices=[]):
        for measured in (False, True):
            torch.manual_seed(0)
            noisy(INPUTS)
            if measured:
                Monitor(noisy, INPUTS, at=[1], directory=tmp_path, settings=SETTINGS).step(1)
            outputs.append(noisy(INPUTS))
    assert outputs[0].equal(outputs[1])


def test_network_without_noise_is_refused(tmp_path):
    with pytest.raises(NoNoiseError, match="without noise"):
        Monitor(nn.Linear(4, 2), INPUTS, at=[1], directory=tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"layers": "zz"}, ValueError, "layers"),
        ({"layers": []}, ValueError, "layers"),
        ({"at": "abc"}, TypeError, "at"),
        ({"at": 5}, TypeError, "at"),
        ({"at": [0.5]}, ValueError, "at"),
        ({"at": []}, ValueError, "at"),
        ({"devices": ["cuda:0"]}, ValueError, "devices"),
        ({"inputs": INPUTS[:0]}, ValueError, "inputs"),
        ({"labels": LABELS[:3]}, ValueError, "labels"),
        ({"settings": {"draws": 4}}, TypeError, "settings"),
        ({"settings": MeasurementSettings}, TypeError, "settings"),
        ({"settings": MeasurementSettings(draws=1), "layers": None}, ValueError, "draws"),
        ({"directory": None}, TypeError, "directory"),
    ],
)
def test_invalid_argument_is_named_before_anything_is_written(options, error, name, tmp_path):
    arguments = {"inputs": INPUTS, "at": [1], "directory": tmp_path / "run", "settings": SETTINGS} | options
    with pytest.raises(error, match=f"^{name}: (got|'zz' matches no layer)"):
        Monitor(noisy_classifier(), **arguments)
    assert not (tmp_path / "run").exists()


def test_epochs_may_be_numbers_of_numpy(tmp_path):
    assert make_monitor(tmp_path, at=np.array([1])).step(np.int64(1)) is not None
    assert list(make_monitor(tmp_path).tables) == [1]


def test_an_epoch_may_be_a_float_that_is_a_whole_number(tmp_path):
    monitor = make_monitor(tmp_path, at=[1.0, 2])
    assert monitor.step(1) == monitor.step(1.0)
    assert list(monitor.tables) == [1]
    assert list(make_monitor(tmp_path, at=[1, 2]).tables) == [1]


@pytest.mark.parametrize("epoch", [0.9999999, float("nan"), float("inf"), True, "1", torch.tensor(1)])
def test_an_epoch_that_is_not_a_whole_number_is_refused(tmp_path, epoch):
    with pytest.raises((TypeError, ValueError), match=r"^epoch: got"):
        make_monitor(tmp_path).step(epoch)


def test_folder_measured_with_other_inputs_is_refused(tmp_path):
    make_monitor(tmp_path).step(1)
    with pytest.raises(UsageError, match=r"^inputs: "):
        Monitor(noisy_classifier(), INPUTS[:10], at=[1], directory=tmp_path, settings=SETTINGS)


def test_folder_measured_with_other_modules_of_the_same_weights_is_refused(tmp_path):
    model = nn.Sequential(nn.Linear(INPUTS.shape[1], 3), nn.LeakyReLU(0.1), nn.Linear(3, 2))
    options = {"at": [1], "directory": tmp_path, "settings": SETTINGS, "sigma": 0.3}
    Monitor(model, INPUTS, **options).step(1)
    assert Monitor(model, INPUTS, **options).tables
    model[1].negative_slope = 50.0
    with pytest.raises(UsageError, match=r"^network: "):
        Monitor(model, INPUTS, **options)


def test_an_epoch_of_other_weights_is_refused(tmp_path):
    model = noisy_classifier()
    options = {"at": [1, 2], "directory": tmp_path, "settings": SETTINGS}
    Monitor(model, INPUTS, **options).step(1)
    with torch.no_grad():
        model[0].weight[0, 0] += 1
    another_training = Monitor(model, INPUTS, **options)
    with pytest.raises(UsageError, match=r"^epoch: got 1, .*other weights or noise; use another folder"):
        another_training.step(1)


def test_an_epoch_without_a_hash_of_its_weights_is_measured_again(tmp_path):
    make_monitor(tmp_path).step(1)
    path = tmp_path / "information.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": {}, "checksum": None}))
    assert not make_monitor(tmp_path).tables


def test_damaged_hashes_are_refused(tmp_path):
    make_monitor(tmp_path).step(1)
    path = tmp_path / "information.json"
    for weights in ([], {"one": "0"}):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": weights}))
        with pytest.raises(UsageError, match=r"information.json: cannot be read"):
            make_monitor(tmp_path)


def test_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", f"{tmp_path}/a\0b"):
        with pytest.raises(UsageError, match=r"^directory: "):
            make_monitor(directory)


def test_folder_that_was_replaced_by_a_file_is_named(tmp_path):
    monitor = make_monitor(tmp_path / "run")
    (tmp_path / "run" / "information.json").unlink()
    (tmp_path / "run").rmdir()
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match=r"information\.json: cannot be written to"):
        monitor.step(1)


def test_epoch_that_lost_rows_is_measured_again(tmp_path):
    table = make_monitor(tmp_path).step(1)
    path = tmp_path / "information.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    (tmp_path / ".information.csv.sha256").unlink()
    with pytest.warns(RuntimeWarning, match="unverified"):
        resumed = make_monitor(tmp_path)
    assert not resumed.tables
    assert without_seconds(resumed.step(1)) == without_seconds(table)


@pytest.mark.parametrize("content", [b"abc", b"\xff\xfe\x00", b"", b"epoch,layer\n"])
def test_damaged_table_is_named(content, tmp_path):
    make_monitor(tmp_path).step(1)
    (tmp_path / "information.csv").write_bytes(content)
    with pytest.raises(UsageError, match=r"information.csv: cannot be read"):
        make_monitor(tmp_path)


def test_damaged_cell_is_named(tmp_path):
    make_monitor(tmp_path).step(1)
    path = tmp_path / "information.csv"
    path.write_text(path.read_text().replace(",auto,", ",auto,x", 1))
    (tmp_path / ".information.csv.sha256").unlink()
    with (
        pytest.raises(UsageError, match=r"information.csv: cannot be read: row 1, column 'value': could not convert"),
        pytest.warns(RuntimeWarning, match="unverified"),
    ):
        make_monitor(tmp_path)


def test_labels_may_be_a_column_of_a_table(tmp_path):
    column = torch.stack([LABELS, LABELS], dim=1)[:, 0]
    assert not column.is_contiguous()
    rows = Monitor(noisy_classifier(), INPUTS, column, at=[1], directory=tmp_path, settings=SETTINGS).step(1)
    assert {row.quantity for row in rows} >= {"I(T;Y)"}
