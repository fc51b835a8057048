"""Loss and accuracy during training, kept in `training.csv`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from layerbits._base import UsageError, damaged_file, read_csv, write_csv
from layerbits.networks import evaluating, rows_per_pass

Evaluate = Callable[[nn.Module, Tensor, Tensor], tuple[float, float]]


class TrainingRow(NamedTuple):
    """A row of `training.csv`: loss per input (in nats, of a classifier), accuracy as a share of the inputs."""

    epoch: int
    split: str
    loss: float
    accuracy: float


class TrainingCurves:
    """Evaluates a network at chosen epochs and keeps the rows in ``directory/training.csv``.

    Noise stays on while evaluating, as in the paper, and comes from the network's own generator. Hence the order on
    resuming: rows later than the checkpoint are dropped and evaluated again, which brings the generator to the same
    state as in a run without a break.

    Parameters
    ----------
    model : torch.nn.Module
        Gives what `by` takes: logits of shape (n, classes), unless that is given.
    splits : mapping of str to (inputs, labels)
        Data to evaluate on, by the name that goes into the column ``split``.
    at : iterable of int
        Epochs to evaluate at.
    directory : path
        An existing folder.
    resumed_from : int
        Epoch of the checkpoint that training goes on from, 0 for a new run.
    by : callable, optional
        Gives loss and accuracy of (model, inputs, labels); by default `evaluate`, for classifiers.
    """

    def __init__(
        self,
        model: nn.Module,
        splits: Mapping[str, tuple[Tensor, Tensor]],
        *,
        at: Iterable[int],
        directory: str | os.PathLike[str],
        resumed_from: int = 0,
        by: Evaluate | None = None,
    ) -> None:
        self._model = model
        self._evaluate = by or evaluate
        self._splits = splits
        self._at = frozenset(at)
        self._path = Path(directory, "training.csv")
        self._rows = [row for row in read_training(self._path) if row.epoch <= resumed_from] if resumed_from else []
        wanted = [(epoch, split) for epoch in sorted(self._at) if epoch <= resumed_from for split in splits]
        if [(row.epoch, row.split) for row in self._rows] != wanted:
            raise damaged_file(self._path, f"it lacks rows up to epoch {resumed_from}")

    def step(self, epoch: int) -> None:
        """Evaluate and record, if `epoch` is one of the chosen.

        Raises
        ------
        UsageError
            If a loss is not finite.
        """
        if epoch not in self._at:
            return
        for split, (inputs, labels) in self._splits.items():
            loss, accuracy = self._evaluate(self._model, inputs, labels)
            if not math.isfinite(loss):
                raise UsageError(f"{split} loss: got {loss} in epoch {epoch}, wanted a number; lower the learning rate")
            self._rows.append(TrainingRow(epoch, split, loss, accuracy))
        write_csv(self._path, TrainingRow._fields, self._rows)


def evaluate(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy of `model` in evaluation mode; leaves it in the mode that it was in.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits of shape (n, classes).
    inputs : torch.Tensor
        Shape (n, ...).
    labels : torch.Tensor
        Shape (n,), int64.
    """
    with evaluating(model), torch.no_grad():
        # In parts: the feature maps of a large data set would not fit.
        logits = torch.cat([model(part) for part in torch.split(inputs, rows_per_pass([inputs]))])
    accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
    return cross_entropy(logits, labels).item(), accuracy


def read_training(path: Path) -> list[TrainingRow]:
    """Read a `training.csv`.

    Raises
    ------
    UsageError
        If the file has other columns.
    """
    rows = read_csv(path, TrainingRow._fields)
    try:
        return [TrainingRow(int(epoch), split, float(loss), float(accuracy)) for epoch, split, loss, accuracy in rows]
    except ValueError as error:
        raise damaged_file(path, str(error)) from error
