"""Loss and accuracy, and training.csv."""

import math

import pytest
import torch
from layerbits.training.evaluation import TrainingRow, evaluate
from torch import nn

from layerbits._base import UsageError
from layerbits.training import TrainingCurves, read_training

LOGITS = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0], [0.0, math.log(3)], [0.0, math.log(3)]])
LABELS = torch.tensor([1, 1, 1, 0])


def test_loss_and_accuracy_of_known_logits():
    loss, accuracy = evaluate(nn.Identity(), LOGITS, LABELS)
    # Two rows give their label 3/4, two give it 1/4. float32: a few eps.
    assert loss == pytest.approx(-(2 * math.log(3 / 4) + 2 * math.log(1 / 4)) / 4, abs=1e-6)
    assert accuracy == 0.5


@pytest.mark.parametrize("training", [True, False])
def test_model_is_evaluated_in_evaluation_mode_and_gets_its_own_back(training):
    class Spy(nn.Module):
        def forward(self, inputs):
            self.seen = self.training
            return inputs

    spy = Spy().train(training)
    evaluate(spy, LOGITS, LABELS)
    assert (spy.seen, spy.training) == (False, training)


def test_wide_inputs_are_evaluated_in_parts():
    class Spy(nn.Module):
        def forward(self, inputs):
            sizes.append(len(inputs))
            return inputs[:, :2]

    sizes = []
    inputs = torch.cat([LOGITS, torch.zeros(4, 2**19 - 2)], 1)
    assert evaluate(Spy(), inputs, LABELS) == evaluate(nn.Identity(), LOGITS, LABELS)
    assert sizes == [2, 2]


def curves(directory, **options):
    return TrainingCurves(nn.Identity(), {"train": (LOGITS, LABELS)}, at=[1, 4, 6], directory=directory, **options)


def test_only_chosen_epochs_are_recorded(tmp_path):
    recorder = curves(tmp_path)
    for epoch in range(1, 7):
        recorder.step(epoch)
    rows = read_training(tmp_path / "training.csv")
    assert [row.epoch for row in rows] == [1, 4, 6]
    assert (rows[0].split, rows[0].accuracy) == ("train", 0.5)


def test_resuming_drops_the_rows_after_the_checkpoint(tmp_path):
    recorder = curves(tmp_path)
    for epoch in (1, 4, 6):
        recorder.step(epoch)
    curves(tmp_path, resumed_from=4).step(6)
    assert [row.epoch for row in read_training(tmp_path / "training.csv")] == [1, 4, 6]


def test_columns_are_those_that_are_documented(tmp_path):
    curves(tmp_path).step(1)
    assert (tmp_path / "training.csv").read_text().splitlines()[0] == "epoch,split,loss,accuracy"
    assert TrainingRow._fields == ("epoch", "split", "loss", "accuracy")


def test_loss_that_is_no_number_ends_the_training(tmp_path):
    recorder = TrainingCurves(nn.Identity(), {"test": (LOGITS * math.nan, LABELS)}, at=[1], directory=tmp_path)
    with pytest.raises(UsageError, match="test loss: got nan in epoch 1"):
        recorder.step(1)
