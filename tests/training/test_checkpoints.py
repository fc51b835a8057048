"""Checkpoints of noisy networks."""

import pytest
import torch
from torch import nn

from layerbits._base import UsageError
from layerbits.networks import noisify
from layerbits.training import Checkpoints, load_checkpoint, train
from layerbits.training import checkpoints as module

INPUTS = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()


def training(directory, at=(2, 5)):
    """A noisy network with its optimizer and checkpoints; always the same at the start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noisy = noisify(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), sigma=0.1)
    optimizer = torch.optim.Adam(noisy.parameters(), lr=0.01, fused=True)
    return noisy, optimizer, Checkpoints(noisy, optimizer, at=at, directory=directory)


def go_on(noisy, optimizer, checkpoints, first, last):
    epochs = range(first, last + 1)
    for epoch in train(noisy, optimizer, INPUTS, LABELS, epochs=epochs, batch_size=16, seed=0):
        checkpoints.step(epoch)


def weights(noisy):
    return torch.cat([parameter.detach().flatten() for parameter in noisy.parameters()])


def test_resumed_training_equals_uninterrupted_training_to_the_bit(tmp_path):
    whole = training(tmp_path / "whole")
    go_on(*whole, 1, 8)
    go_on(*training(tmp_path / "broken"), 1, 6)
    resumed = training(tmp_path / "broken")
    epoch = resumed[2].resume()
    assert epoch == 5  # the sixth epoch was lost
    go_on(*resumed, epoch + 1, 8)
    assert weights(resumed[0]).equal(weights(whole[0]))


def test_new_folder_resumes_from_nothing(tmp_path):
    noisy, _, checkpoints = training(tmp_path)
    before = weights(noisy)
    assert checkpoints.resume() == 0
    assert weights(noisy).equal(before)


def test_chosen_epochs_are_kept(tmp_path):
    go_on(*training(tmp_path), 1, 8)
    names = {file.name for file in (tmp_path / "checkpoints").iterdir()}
    assert names == {"epoch-000002.pt", "epoch-000005.pt", "latest.pt"}


def test_kept_epoch_is_loaded_as_it_was(tmp_path):
    noisy, optimizer, checkpoints = training(tmp_path)
    go_on(noisy, optimizer, checkpoints, 1, 2)
    then = weights(noisy)
    go_on(noisy, optimizer, checkpoints, 3, 5)
    load_checkpoint(tmp_path, 2, noisy)
    assert weights(noisy).equal(then)


def test_latest_state_is_saved_between_the_chosen_epochs_when_time_has_passed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_SAVES", 0.0)
    go_on(*training(tmp_path, at=()), 1, 3)
    assert training(tmp_path)[2].resume() == 3


def test_damaged_checkpoint_is_named(tmp_path):
    go_on(*training(tmp_path), 1, 2)
    (tmp_path / "checkpoints" / "latest.pt").write_bytes(b"PK\x03\x04 half of a file")
    with pytest.raises(UsageError, match=r"latest\.pt"):
        training(tmp_path)[2].resume()


def test_missing_checkpoint_is_named(tmp_path):
    noisy, _, _ = training(tmp_path)
    with pytest.raises(UsageError, match=r"epoch-000003\.pt"):
        load_checkpoint(tmp_path, 3, noisy)


def test_checkpoint_that_the_disk_has_no_room_for_is_named_and_the_one_before_is_kept(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("basic_ios::clear: iostream error")

    noisy, optimizer, checkpoints = training(tmp_path)
    go_on(noisy, optimizer, checkpoints, 1, 2)
    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UsageError, match=r"epoch-000005\.pt: cannot be written to"):
        go_on(noisy, optimizer, checkpoints, 3, 5)
    assert training(tmp_path)[2].resume() == 2
