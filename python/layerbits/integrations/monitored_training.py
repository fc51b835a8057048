"""The part of the callbacks that does not depend on the trainer."""

from __future__ import annotations

from typing import Any

from torch import nn

from layerbits._base import InformationHistory, UsageError
from layerbits.networks import Inputs, Labels
from layerbits.training import Monitor


class MonitoredTraining:
    """Arguments for a `Monitor`, which is made when the training starts, and its history."""

    def __init__(self, inputs: Inputs, labels: Labels | None = None, **options: Any) -> None:
        self._inputs, self._labels, self._options = inputs, labels, options
        self._monitor: Monitor | None = None

    @property
    def history(self) -> InformationHistory:
        """The measured epochs, including earlier runs in the folder."""
        if self._monitor is None:
            raise UsageError("history: the training has not started, so nothing has been measured; start the trainer")
        return self._monitor.history

    def _start(self, model: nn.Module, n_processes: int) -> None:
        if n_processes > 1:
            raise UsageError(
                f"trainer: got {n_processes} processes, wanted one; measure the checkpoints after the training"
            )
        self._monitor = Monitor(model, self._inputs, self._labels, **self._options)
