"""A tracker of Accelerate that measures the information of the layers during training."""

from __future__ import annotations

import warnings
from typing import Any

from accelerate import PartialState
from accelerate.tracking import GeneralTracker
from torch import nn

from layerbits._base import InformationHistory, stacklevel_of_user
from layerbits.integrations.monitored_training import MonitoredTraining
from layerbits.networks import Inputs, Labels


class InformationTracker(MonitoredTraining, GeneralTracker):  # type: ignore[misc]  # Accelerate has no types
    """Measure the information of each layer at chosen steps of `Accelerator.log`.

    Parameters
    ----------
    model : torch.nn.Module
        The network as it is before `Accelerator.prepare`, a method that keeps the parameters.
    inputs, labels
        As in `layerbits.Monitor`.
    **options
        Further arguments of `layerbits.Monitor`; `at` counts the steps that `Accelerator.log` gets, such as epochs.
        Accelerate does not call a tracker when the training starts: to measure epoch 0, call
        ``accelerator.log({}, step=0)`` before the training. With a function `log` that calls `Accelerator.log`, the
        other trackers get the values and the ends of their intervals.

    Warns
    -----
    RuntimeWarning
        Epoch 0 is chosen, and the first step is a later one.

    Raises
    ------
    TypeError, ValueError
        As in `layerbits.Monitor`. Names of arguments, `at`, `directory`, `settings` and `log` are checked at once, the
        other arguments when the training starts.
    UsageError
        The training runs on several processes.

    Examples
    --------
    >>> import tempfile
    >>> import accelerate, torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tracker = lb.integrations.accelerate.InformationTracker(
    ...         model, torch.eye(2), at=[1, 2], directory=folder, sigma=0.5
    ...     )
    ...     accelerator = accelerate.Accelerator(log_with=[tracker], cpu=True)
    ...     accelerator.init_trackers("mine")
    ...     accelerator.register_for_checkpointing(tracker)
    ...     for epoch in (1, 2):  # train here
    ...         accelerator.log({"loss": 0.0}, step=epoch)
    >>> tracker.history
    InformationHistory(epochs=(1, 2), layers=('1',))
    """

    name = "layerbits"
    requires_logging_directory = False

    def __init__(self, model: nn.Module, inputs: Inputs, labels: Labels | None = None, **options: Any) -> None:
        MonitoredTraining.__init__(self, inputs, labels, **options)
        GeneralTracker.__init__(self)
        self._model = model
        self._is_measuring = False

    @property
    def tracker(self) -> InformationHistory:
        """The history, which ``Accelerator.get_tracker("layerbits", unwrap=True)`` returns."""
        return self.history

    def log(self, values: dict[str, Any], step: int | None = None, **options: Any) -> None:
        """Measure the network if `step` is chosen; a call during a measurement, such as by a logger, does nothing."""
        if step is None or self._is_measuring:
            return
        monitor = self._monitor
        if monitor is None:
            monitor = self._start(self._model, PartialState().num_processes)
            if step > 0 and monitor.unmeasured_epochs(0):
                warnings.warn(
                    f"at: epoch 0 is not measured, because the first step is {step}; call "
                    "accelerator.log({}, step=0) before the training",
                    RuntimeWarning,
                    stacklevel=stacklevel_of_user(),
                )
        self._is_measuring = True
        try:
            monitor.step(step)
        finally:
            self._is_measuring = False
