"""The part of the callbacks that does not depend on the trainer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn

from layerbits._base import InformationHistory, UsageError, listed, stacklevel_of_user
from layerbits.networks import Inputs, Labels
from layerbits.training import Monitor, checked_monitor_options


class MonitoredTraining:
    """The arguments of a `Monitor`, which is made when the training starts, and the history of the monitor."""

    def __init__(self, inputs: Inputs, labels: Labels | None = None, **options: Any) -> None:
        self._inputs, self._labels = inputs, labels
        self._options = checked_monitor_options(**options)
        self._monitor: Monitor | None = None
        self._state: Mapping[str, Any] = {}
        self._start_epoch = 0.0  # later than 0 if the training resumed

    @property
    def history(self) -> InformationHistory:
        """The measured epochs, including earlier runs in the folder."""
        return self._started("history").history

    @property
    def left_out(self) -> tuple[int, ...]:
        """The epochs of `at` that `max_overhead` left out, ascending."""
        return self._started("left_out").left_out

    def state_dict(self) -> dict[str, Any]:
        """Return the results so far for a checkpoint, empty before the first training; see `Monitor.state_dict`."""
        return dict(self._state) if self._monitor is None else self._monitor.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Replace the results by those of a checkpoint, when the training starts; see `Monitor.load_state_dict`."""
        self._state = state_dict
        if self._monitor is not None:
            self._restore(self._monitor)

    def _started(self, attribute: str) -> Monitor:
        if self._monitor is None:
            raise UsageError(
                f"{attribute}: the training has not started, so nothing has been measured; start the trainer"
            )
        return self._monitor

    def _start(self, model: nn.Module, n_processes: int) -> Monitor:
        if n_processes > 1:
            raise UsageError(
                f"trainer: got {n_processes} processes, wanted one; in a callback of your own, make a "
                "Monitor(group=torch.distributed.group.WORLD), or measure the checkpoints after the training"
            )
        self._monitor = Monitor(model, self._inputs, self._labels, **self._options)
        self._restore(self._monitor)
        return self._monitor

    def _warn_of_missing_epochs(self) -> None:
        missing = self._monitor.unmeasured_epochs(self._monitor.at[-1]) if self._monitor is not None else []
        earlier = [epoch for epoch in missing if self._start_epoch and epoch <= self._start_epoch]
        later = [epoch for epoch in missing if epoch not in earlier]
        for epochs, name, remedy in (
            (earlier, "before the training resumed", "measure their checkpoints"),
            (later, "that the training did not complete", "train for longer, or choose others"),
        ):
            if epochs:
                warnings.warn(
                    f"at: epochs {name} are not measured: {listed(map(str, epochs))}; {remedy}",
                    RuntimeWarning,
                    stacklevel=stacklevel_of_user(),
                )

    def _restore(self, monitor: Monitor) -> None:
        if self._state:
            monitor.load_state_dict(self._state)
        self._state = {}
