"""Epochs of a folder hold for the weights and the noise of the network, and a folder has one monitor."""

import functools
import os
import shutil

import pytest
import torch
from torch import nn

import layerbits as lb

INPUTS = torch.linspace(-1, 1, 12).view(6, 2)
LABELS = torch.arange(6) % 2


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))


def monitor(model, folder, **options):
    return lb.Monitor(model, INPUTS, at=[0, 5], directory=folder, **options)


@pytest.mark.parametrize("changed", ["1", "3"])
def test_epoch_that_was_measured_with_other_noise_is_not_used_again(tmp_path, changed):
    model = lb.noisify(network(), sigma=0.5, inputs=INPUTS)
    first = monitor(model, tmp_path, layers="3")
    first.step(0)
    lb.noise_of(model)[changed] = 0.9
    first.step(5)
    assert first.step(5) is first.tables[5]
    lb.noise_of(model)[changed] = 0.5
    resumed = monitor(model, tmp_path, layers="3")
    assert resumed.step(0) == first.tables[0]
    with pytest.raises(lb.UsageError, match=r"epoch: got 5, .* other weights or noise"):
        resumed.step(5)


def test_sigma_that_the_caller_changes_is_noticed(tmp_path):
    model, sigma = network(), torch.full((3,), 0.5)
    first = monitor(model, tmp_path, sigma=sigma)
    sigma.mul_(3)
    first.step(5)
    with pytest.raises(lb.UsageError, match=r"epoch: got 5, .* other weights or noise"):
        monitor(model, tmp_path, sigma=torch.full((3,), 0.5)).step(5)


def test_second_monitor_of_a_folder_does_not_replace_the_epochs_of_the_first(tmp_path):
    model = network()
    first, second = (monitor(model, tmp_path, sigma=0.5) for _ in range(2))
    first.step(0)
    with pytest.raises(lb.UsageError, match=r"information\.csv: another monitor has written to it"):
        second.step(5)
    assert lb.read_history(tmp_path).epochs == (0,)
    first.step(5)
    assert lb.read_history(tmp_path).epochs == (0, 5)


@pytest.mark.parametrize(
    ("argument", "inputs", "labels"),
    [("inputs", INPUTS.flip(0), LABELS), ("labels", INPUTS, 1 - LABELS)],
)
def test_other_inputs_and_labels_are_named_with_their_order_and_without_hashes(tmp_path, argument, inputs, labels):
    options = {"at": [0], "directory": tmp_path, "sigma": 0.5}
    lb.Monitor(network(), INPUTS, LABELS, **options).step(0)
    words = (
        rf"^{argument}: .* was measured with other {argument}, or the same in another order .*shuffle=False\).*; use"
    )
    with pytest.raises(lb.UsageError, match=words):
        lb.Monitor(network(), inputs, labels, **options)


def test_hashes_in_messages_are_short(tmp_path):
    options = {"at": [0], "directory": tmp_path}
    lb.Monitor(network(), INPUTS, sigma=torch.tensor([0.5, 0.5, 0.6]), **options).step(0)
    with pytest.raises(lb.UsageError, match=r"^sigma: .* with '[0-9a-f]{8}\.\.\.', wanted '[0-9a-f]{8}\.\.\.'; use"):
        lb.Monitor(network(), INPUTS, sigma=torch.tensor([0.5, 0.5, 0.7]), **options)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: {"limit": 4}, "^inputs: .* other inputs"),
        (lambda folder: {"measures": ["binned_entropy"]}, r"^measures: .* with none, wanted \['binned_entropy'\]"),
        (lambda folder: (folder / "information.json").unlink() or {}, r"^.*information\.json: missing"),
    ],
    ids=["limit", "measures", "missing"],
)
def test_difference_from_the_folder_is_named(tmp_path, change, words):
    monitor(network(), tmp_path, sigma=0.5).step(0)
    with pytest.raises(lb.UsageError, match=words):
        monitor(network(), tmp_path, sigma=0.5, **change(tmp_path))


def test_table_of_another_seed_is_measured_again(tmp_path):
    """The table and its checksum are copied together."""
    seeds = tmp_path / "0", tmp_path / "1"
    for seed, folder in enumerate(seeds):
        monitor(network(), folder, sigma=0.5, settings=lb.MeasurementSettings(seed=seed)).step(0)
    for name in ("information.csv", ".information.csv.sha256"):
        shutil.copy(seeds[1] / name, seeds[0] / name)
    with pytest.raises(lb.UsageError, match=r"rows of epoch 0 are not those that information\.json records"):
        lb.read_history(seeds[0])
    with pytest.warns(RuntimeWarning, match=r"the rows of epoch 0 are not those that information\.json records"):
        resumed = monitor(network(), seeds[0], sigma=0.5)
    assert not resumed.tables
    resumed.step(0)
    assert lb.read_history(seeds[0]).epochs == (0,)


@pytest.mark.parametrize("column", ["layer", "quantity"])
def test_row_of_another_layer_or_quantity_is_refused(tmp_path, column):
    monitor(network(), tmp_path, sigma=0.5).step(0)
    path = tmp_path / "information.csv"
    header, first, second, *others = (line.split(",") for line in path.read_text().splitlines())
    second[header.index(column)] = "other"
    path.write_text("\n".join(map(",".join, (header, first, second, *others))))
    (tmp_path / ".information.csv.sha256").unlink()
    message = r"information\.csv: cannot be read: row 2 has the layer and quantity '.*other.*', wanted one of"
    with pytest.raises(lb.UsageError, match=message), pytest.warns(RuntimeWarning, match="unverified"):
        monitor(network(), tmp_path, sigma=0.5)


def test_special_file_in_place_of_the_settings_is_named(tmp_path):
    monitor(network(), tmp_path, sigma=0.5).step(0)
    path = tmp_path / "information.json"
    path.unlink()
    os.mkfifo(path)
    for read in (lb.read_history, functools.partial(monitor, network(), sigma=0.5)):
        with pytest.raises(lb.UsageError, match=r"^\S*information.json: cannot be read: it is not a regular file"):
            read(tmp_path)
