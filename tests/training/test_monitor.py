"""The monitor and its information.csv."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits._base import NoNoiseError, UsageError
from layerbits.estimators import layer_information
from layerbits.networks import noisify
from layerbits.training import Monitor, log_spaced, read_information
from layerbits.training import monitor as module

INPUTS = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()


def network(sigma=0.1):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    return noisify(model, sigma=sigma)


def monitor(directory, sigma=0.1, at=(1, 3), **options):
    return Monitor(network(sigma), INPUTS, at=at, directory=directory, **({"draws": 4, "queries": 3} | options))


def without_seconds(table):
    return [dataclasses.replace(row, seconds=0.0) for row in table]


@pytest.mark.parametrize(("first", "last", "count"), [(1, 10_000, 40), (1, 5, 40), (3, 3, 2), (7, 1000, 2), (1, 2, 9)])
def test_log_spaced_epochs_rise_from_end_to_end(first, last, count):
    epochs = log_spaced(first, last, count)
    assert (epochs[0], epochs[-1]) == (first, last)
    assert list(epochs) == sorted(set(epochs))
    assert len(epochs) <= count


def test_log_spaced_epochs_are_plain_integers_at_equal_ratios():
    assert log_spaced(1, 1000, 4) == (1, 10, 100, 1000)
    assert {type(epoch) for epoch in log_spaced(1, 1000, 4)} == {int}


@pytest.mark.parametrize("arguments", [(0, 10, 5), (5, 4, 3), (1, 10, 1)])
def test_log_spaced_refuses_what_has_no_answer(arguments):
    with pytest.raises(ValueError, match="got"):
        log_spaced(*arguments)


def test_only_chosen_epochs_are_measured(tmp_path):
    watch = monitor(tmp_path)
    assert [watch.step(epoch) is not None for epoch in (1, 2, 3)] == [True, False, True]
    assert list(watch.tables) == [1, 3]


def test_measurement_is_that_of_layer_information(tmp_path):
    measured = Monitor(network(), INPUTS, LABELS, at=[1], directory=tmp_path, draws=4, queries=3, seed=5).step(1)
    expected = layer_information(network(), INPUTS, LABELS, draws=4, queries=3, seed=5)
    assert without_seconds(measured) == without_seconds(expected)


def test_tolerance_asks_for_more_draws_than_were_begun_with(tmp_path):
    rows = monitor(tmp_path, tolerance=0.05, max_draws=8, layers="3").step(1)
    assert {row.draws for row in rows} == {8}
    assert "max_draws 8" in rows["3", "I(X;T)"].note


def test_table_comes_back_from_the_file_as_it_was(tmp_path):
    watch = monitor(tmp_path)
    watch.step(1)
    watch.step(3)
    assert read_information(tmp_path / "information.csv") == dict(watch.tables)


def test_columns_are_those_that_are_documented(tmp_path):
    monitor(tmp_path).step(1)
    assert (tmp_path / "information.csv").read_text().splitlines()[0] == (
        "epoch,layer,quantity,estimator,value,standard_error,lower,upper,unit,draws,seconds,note,"
        "plug_in,plug_in_error,decoded,decoded_error,decoder,limited_by"
    )


def test_resumed_monitor_does_not_measure_again(tmp_path, monkeypatch):
    first = monitor(tmp_path).step(1)
    monkeypatch.setattr(module, "layer_information", None)
    assert monitor(tmp_path).step(1) == first


def test_resumed_monitor_adds_to_the_file(tmp_path):
    monitor(tmp_path).step(3)
    monitor(tmp_path).step(1)
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
    monitor(tmp_path).step(1)
    with pytest.raises(UsageError, match=f"{name}: .*information.csv"):
        monitor(tmp_path, **options)


def test_folder_measured_with_another_covariance_is_refused(tmp_path):
    monitor(tmp_path, sigma=torch.eye(3)).step(1)
    assert monitor(tmp_path, sigma=torch.eye(3)).tables
    with pytest.raises(UsageError, match=r"sigma: .*information\.csv"):
        monitor(tmp_path, sigma=2 * torch.eye(3))


def test_settings_may_change_while_nothing_is_measured(tmp_path):
    monitor(tmp_path)
    monitor(tmp_path, draws=5).step(1)
    assert monitor(tmp_path, draws=5).step(1) is not None


def test_folder_with_other_columns_is_refused(tmp_path):
    monitor(tmp_path).step(1)
    (tmp_path / "information.csv").write_text("epoch,layer\n1,tanh\n")
    with pytest.raises(UsageError, match="columns"):
        monitor(tmp_path)


def test_table_without_its_settings_is_refused(tmp_path):
    monitor(tmp_path).step(1)
    (tmp_path / "information.json").unlink()
    with pytest.raises(UsageError, match="unknown"):
        monitor(tmp_path)


def test_one_layer_may_be_given_by_its_name(tmp_path):
    assert {row.layer for row in monitor(tmp_path, layers="3").step(1)} == {"3"}


def test_measuring_leaves_the_noise_of_the_training_alone(tmp_path):
    noisy, twin = network(), network()
    noisy(INPUTS), twin(INPUTS)
    Monitor(noisy, INPUTS, at=[1], directory=tmp_path, draws=4, queries=3).step(1)
    assert noisy(INPUTS).equal(twin(INPUTS))


def test_network_without_noise_is_refused(tmp_path):
    with pytest.raises(NoNoiseError, match="wanted what layerbits"):
        Monitor(nn.Linear(4, 2), INPUTS, at=[1], directory=tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"draws": 0}, ValueError, "draws"),
        ({"draws": "x"}, TypeError, "draws"),
        ({"layers": "zz"}, ValueError, "layers"),
        ({"layers": []}, ValueError, "layers"),
        ({"estimator": "k"}, ValueError, "estimator"),
        ({"confidence": 3}, ValueError, "confidence"),
        ({"queries": 1}, ValueError, "queries"),
        ({"max_seconds": 0}, ValueError, "max_seconds"),
        ({"max_draws": 0.5}, TypeError, "max_draws"),
        ({"seed": -1}, ValueError, "seed"),
        ({"at": "abc"}, TypeError, "at"),
        ({"at": 5}, TypeError, "at"),
        ({"at": [0.5]}, TypeError, "at"),
        ({"at": []}, ValueError, "at"),
        ({"devices": ["cuda:0"]}, ValueError, "devices"),
    ],
)
def test_bad_option_is_named_before_anything_is_written(options, error, word, tmp_path):
    with pytest.raises(error, match=f"^{word}: got"):
        monitor(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_are_numbers(tmp_path):
    whole = {name: np.int64(4) for name in ("draws", "queries", "max_draws", "seed")}
    watch = monitor(tmp_path, at=np.array([1]), tolerance=np.float32(0.5), max_seconds=np.float32(9), **whole)
    assert watch.step(1) is not None


def test_folder_measured_with_other_inputs_is_refused(tmp_path):
    monitor(tmp_path).step(1)
    with pytest.raises(UsageError, match=r"^inputs: "):
        Monitor(network(), INPUTS[:10], at=[1], directory=tmp_path, draws=4, queries=3)


def test_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"^directory: "):
        monitor(tmp_path / "file")


def test_epoch_that_lost_rows_is_measured_again(tmp_path):
    before = monitor(tmp_path)
    table = before.step(1)
    path = tmp_path / "information.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    again = monitor(tmp_path)
    assert not again.tables
    assert without_seconds(again.step(1)) == without_seconds(table)


@pytest.mark.parametrize("content", [b"abc", b"\xff\xfe\x00", b"", b"epoch,layer\n"])
def test_damaged_table_is_named(content, tmp_path):
    monitor(tmp_path).step(1)
    (tmp_path / "information.csv").write_bytes(content)
    with pytest.raises(UsageError, match=r"information.csv: cannot resume from this file"):
        monitor(tmp_path)


def test_damaged_cell_is_named(tmp_path):
    monitor(tmp_path).step(1)
    path = tmp_path / "information.csv"
    path.write_text(path.read_text().replace("pooled,", "pooled,x", 1))
    with pytest.raises(UsageError, match=r"information.csv: cannot resume from this file: could not convert"):
        monitor(tmp_path)


@pytest.mark.parametrize("ends", [(1.5, 9, 3), (True, 5, 3), (1, math.inf, 3), (1, 2**80, 3), (1, 9, 2.5)])
def test_log_spaced_takes_whole_numbers_only(ends):
    with pytest.raises((TypeError, ValueError), match=r"got"):
        log_spaced(*ends)
