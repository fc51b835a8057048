"""Loss and accuracy of a network at chosen epochs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from layerbits._base import UsageError, damaged_cell, damaged_file
from layerbits.networks import evaluating, rows_per_pass
from layerbits.training.history import TRAINING_FILE, TrainingRow, read_training, write_training

Evaluate = Callable[[nn.Module, Tensor, Tensor], tuple[float, float]]


def evaluate_classifier(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Compute mean cross-entropy (nats) and accuracy of `model` in evaluation mode; restore its mode.

    Parameters
    ----------
    model : torch.nn.Module
        Returns logits of shape (n, classes).
    inputs : torch.Tensor
        Shape (n, ...).
    labels : torch.Tensor
        Shape (n,), int64.
    """
    with evaluating(model), torch.no_grad():
        # The feature maps of a large data set would not fit into memory, so the rows are split.
        logits = torch.cat([model(part) for part in torch.split(inputs, rows_per_pass([inputs]))])
    accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
    return cross_entropy(logits, labels).item(), accuracy


class TrainingCurves:
    """Evaluate a network at chosen epochs and write the rows to ``directory/training.csv``.

    Noise stays on during the evaluation, as in Goldfeld et al. (ICML 2019), and comes from torch's generators. `resume`
    drops the rows after the checkpoint, because the generators must advance as in an uninterrupted training: these
    epochs are evaluated again.

    Parameters
    ----------
    model : torch.nn.Module
        The network that `evaluate` takes.
    splits : mapping of str to (inputs, labels)
        Data to evaluate on; the keys are the values of the column ``split``.
    at : iterable of int
        Epochs to evaluate.
    directory : path
        An existing folder.
    evaluate : callable, optional
        Computes loss and accuracy from (model, inputs, labels).
    """

    def __init__(
        self,
        model: nn.Module,
        splits: Mapping[str, tuple[Tensor, Tensor]],
        *,
        at: Iterable[int],
        directory: str | os.PathLike[str],
        evaluate: Evaluate = evaluate_classifier,
    ) -> None:
        self._model = model
        self._splits = splits
        self._at = frozenset(at)
        self._path = Path(directory, TRAINING_FILE)
        self._evaluate = evaluate
        self._rows: list[TrainingRow] = []

    def resume(self, epoch: int) -> None:
        """Keep the rows up to `epoch`, the epoch of the loaded checkpoint; 0 begins a new table.

        Raises
        ------
        UsageError
            training.csv is missing or damaged, or its rows up to this epoch are not those of the chosen epochs.
        """
        rows = read_training(self._path) if epoch else []
        self._rows = [row for row in rows if row.epoch <= epoch]
        epochs = [chosen_epoch for chosen_epoch in sorted(self._at) if chosen_epoch <= epoch]
        expected_rows = [(chosen_epoch, split) for chosen_epoch in epochs for split in self._splits]
        for number, (row, expected) in enumerate(zip(self._rows, expected_rows, strict=False), start=1):
            if (row.epoch, row.split) != expected:
                raise damaged_cell(self._path, number, "epoch and split", (row.epoch, row.split), repr(expected))
        if len(self._rows) != len(expected_rows):
            raise damaged_file(self._path, f"it lacks rows up to epoch {epoch}")

    def step(self, epoch: int) -> None:
        """Evaluate the network and write the rows if `epoch` is chosen.

        Raises
        ------
        UsageError
            A loss is not finite, or the file cannot be written.
        """
        if epoch not in self._at:
            return
        for split, (inputs, labels) in self._splits.items():
            loss, accuracy = self._evaluate(self._model, inputs, labels)
            if not math.isfinite(loss):
                raise UsageError(f"{split} loss: got {loss} in epoch {epoch}, wanted a number; lower the learning rate")
            self._rows.append(TrainingRow(epoch, split, loss, accuracy))
        write_training(self._path, self._rows)
