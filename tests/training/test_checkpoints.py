"""Checkpoints of noisy networks."""

import os
import shutil
import zipfile

import numpy as np
import pytest
import torch

from layerbits._base import UsageError
from layerbits.training import Batches, Checkpoints, load_checkpoint, train
from layerbits.training import checkpoints as checkpoints_module
from tests.support.noisy_classifier import INPUTS, LABELS, adam, noisy_classifier, weights


@pytest.fixture(autouse=True)
def generator_restored():
    with torch.random.fork_rng(devices=[]):
        yield


class Training:
    """A network with its optimizer and checkpoints at chosen epochs; torch's generator starts from the same seed."""

    def __init__(self, directory, at=(2, 5), run="first"):
        torch.manual_seed(0)
        self.noisy = noisy_classifier()
        self.optimizer = adam(self.noisy)
        self.checkpoints = Checkpoints(self.noisy, self.optimizer, at=at, directory=directory, run=run)

    def run(self, first, last):
        batches = Batches(INPUTS, LABELS, batch_size=16, seed=0)
        for epoch in train(self.noisy, self.optimizer, batches, range(first, last + 1)):
            self.checkpoints.step(epoch)

    @property
    def weights(self):
        return weights(self.noisy)


def test_resumed_training_equals_uninterrupted_training_to_the_bit(tmp_path):
    uninterrupted = Training(tmp_path / "uninterrupted")
    uninterrupted.run(1, 8)
    Training(tmp_path / "interrupted").run(1, 6)
    resumed = Training(tmp_path / "interrupted")
    epoch = resumed.checkpoints.resume()
    assert epoch == 5  # the sixth epoch was lost
    resumed.run(epoch + 1, 8)
    assert resumed.weights.equal(uninterrupted.weights)


def test_empty_folder_resumes_at_epoch_0_without_a_change(tmp_path):
    training = Training(tmp_path)
    before = training.weights
    assert training.checkpoints.resume() == 0
    assert training.weights.equal(before)


def test_file_in_place_of_the_folder_is_refused_by_name(tmp_path):
    (tmp_path / "checkpoints").touch()
    with pytest.raises(UsageError, match=r"checkpoints: cannot be made \(File exists\); remove a file of this name"):
        Training(tmp_path)


def test_chosen_epochs_are_kept(tmp_path):
    Training(tmp_path).run(1, 8)
    names = {file.name for file in (tmp_path / "checkpoints").iterdir()}
    assert names == {"epoch-000002.pt", "epoch-000005.pt", "latest.pt"}


def test_kept_epoch_is_loaded_without_a_change_of_the_optimizer(tmp_path):
    training = Training(tmp_path)
    training.run(1, 2)
    weights_at_epoch_2 = training.weights
    training.run(3, 5)
    steps = training.optimizer.state_dict()["state"][0]["step"].clone()
    training.checkpoints.load_model(2)
    assert training.weights.equal(weights_at_epoch_2)
    assert training.optimizer.state_dict()["state"][0]["step"].equal(steps)
    model = noisy_classifier()
    load_checkpoint(tmp_path, 2, model, run="first")
    assert weights(model).equal(weights_at_epoch_2)


def test_latest_state_is_saved_between_the_chosen_epochs_after_some_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints_module, "_SECONDS_BETWEEN_SAVES", 0.0)
    Training(tmp_path, at=()).run(1, 3)
    assert Training(tmp_path).checkpoints.resume() == 3


def test_damaged_checkpoint_is_named(tmp_path):
    Training(tmp_path).run(1, 2)
    (tmp_path / "checkpoints" / "latest.pt").write_bytes(b"PK\x03\x04 half of a file")
    with pytest.raises(UsageError, match=r"latest\.pt"):
        Training(tmp_path).checkpoints.resume()


def test_checkpoint_with_any_changed_bit_is_refused_or_has_the_same_weights(tmp_path):
    training = Training(tmp_path)
    training.run(1, 2)
    path = tmp_path / "checkpoints" / "epoch-000002.pt"
    content = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for bit in random.integers(8 * len(content), size=60):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        model = noisy_classifier()
        try:
            load_checkpoint(tmp_path, 2, model, run="first")
        except UsageError:
            refused += 1
        else:
            assert weights(model).equal(training.weights)
    assert refused > 20  # the others are bits of names and padding, which have no effect


def test_checkpoint_of_another_run_is_refused(tmp_path):
    Training(tmp_path).run(1, 2)
    with pytest.raises(UsageError, match=r"latest\.pt: .* it is of another run"):
        Training(tmp_path, run="second").checkpoints.resume()


def test_checkpoint_of_another_epoch_is_refused(tmp_path):
    Training(tmp_path).run(1, 5)
    folder = tmp_path / "checkpoints"
    shutil.copy(folder / "epoch-000002.pt", folder / "epoch-000005.pt")
    with pytest.raises(UsageError, match=r"epoch-000005\.pt: .* it is of epoch 2"):
        load_checkpoint(tmp_path, 5, noisy_classifier(), run="first")


def test_checkpoint_that_unpacks_to_more_is_refused(tmp_path):
    Training(tmp_path).run(1, 2)
    path = tmp_path / "checkpoints" / "epoch-000002.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(UsageError, match="it is compressed"):
        load_checkpoint(tmp_path, 2, noisy_classifier(), run="first")


def test_checkpoint_that_is_no_regular_file_is_refused_at_once(tmp_path):
    Training(tmp_path).run(1, 2)
    path = tmp_path / "checkpoints" / "epoch-000002.pt"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match=r"epoch-000002\.pt"):
        load_checkpoint(tmp_path, 2, noisy_classifier(), run="first")


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"epoch-000003\.pt"):
        load_checkpoint(tmp_path, 3, noisy_classifier(), run="first")


def test_checkpoint_that_does_not_fit_on_the_disk_is_named_and_the_earlier_one_is_kept(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("basic_ios::clear: iostream error")

    training = Training(tmp_path)
    training.run(1, 2)
    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UsageError, match=r"epoch-000005\.pt: cannot be written to"):
        training.run(3, 5)
    assert Training(tmp_path).checkpoints.resume() == 2
