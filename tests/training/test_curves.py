"""Loss and accuracy, and training.csv."""

import math

import pytest
import torch
from torch import nn

from layerbits._base import UsageError
from layerbits.training import TrainingCurves, read_training
from layerbits.training.curves import evaluate_classifier
from layerbits.training.history import TrainingRow

LOGITS = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0], [0.0, math.log(3)], [0.0, math.log(3)]])
LABELS = torch.tensor([1, 1, 1, 0])


class Recorder(nn.Module):
    """A model whose logits are its first two inputs; it records its mode and the number of rows of each pass."""

    def __init__(self):
        super().__init__()
        self.modes, self.rows = [], []

    def forward(self, inputs):
        self.modes.append(self.training)
        self.rows.append(len(inputs))
        return inputs[:, :2]


def test_loss_and_accuracy_of_known_logits():
    loss, accuracy = evaluate_classifier(nn.Identity(), LOGITS, LABELS)
    # Two rows give their label the probability 3/4, two rows 1/4. The error in float32 is a few eps.
    assert loss == pytest.approx(-(2 * math.log(3 / 4) + 2 * math.log(1 / 4)) / 4, abs=1e-6)
    assert accuracy == 0.5


@pytest.mark.parametrize("training", [True, False])
def test_model_is_evaluated_in_evaluation_mode_and_its_mode_is_restored(training):
    model = Recorder().train(training)
    evaluate_classifier(model, LOGITS, LABELS)
    assert (model.modes, model.training) == ([False], training)


def test_wide_inputs_are_evaluated_in_parts():
    model = Recorder()
    inputs = torch.cat([LOGITS, torch.zeros(4, 2**19 - 2)], 1)
    assert evaluate_classifier(model, inputs, LABELS) == evaluate_classifier(nn.Identity(), LOGITS, LABELS)
    assert model.rows == [2, 2]


def curves(directory):
    return TrainingCurves(nn.Identity(), {"train": (LOGITS, LABELS)}, at=[1, 4, 6], directory=directory)


def recorded_epochs(directory):
    return [row.epoch for row in read_training(directory / "training.csv")]


def test_only_chosen_epochs_are_recorded(tmp_path):
    recorder = curves(tmp_path)
    for epoch in range(1, 7):
        recorder.step(epoch)
    assert recorded_epochs(tmp_path) == [1, 4, 6]
    row = read_training(tmp_path / "training.csv")[0]
    assert (row.split, row.accuracy) == ("train", 0.5)


def test_resuming_drops_the_rows_after_the_checkpoint(tmp_path):
    interrupted, resumed = curves(tmp_path), curves(tmp_path)
    for epoch in (1, 4, 6):
        interrupted.step(epoch)
    resumed.resume(4)
    resumed.step(6)
    assert recorded_epochs(tmp_path) == [1, 4, 6]


@pytest.mark.parametrize("last_epoch", [4, 6])
def test_resuming_refuses_a_table_that_lacks_rows(tmp_path, last_epoch):
    curves(tmp_path).step(1)
    with pytest.raises(UsageError, match=rf"training\.csv: .* it lacks rows up to epoch {last_epoch}"):
        curves(tmp_path).resume(last_epoch)


def test_columns_are_the_documented_ones(tmp_path):
    curves(tmp_path).step(1)
    assert (tmp_path / "training.csv").read_text().splitlines()[0] == "epoch,split,loss,accuracy"
    assert TrainingRow._fields == ("epoch", "split", "loss", "accuracy")


def test_loss_that_is_not_finite_ends_the_training(tmp_path):
    recorder = TrainingCurves(nn.Identity(), {"test": (LOGITS * math.nan, LABELS)}, at=[1], directory=tmp_path)
    with pytest.raises(UsageError, match="test loss: got nan in epoch 1"):
        recorder.step(1)
