"""A callback of transformers' Trainer that measures the information of the layers during training."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from layerbits.integrations.monitored_training import MonitoredTraining

_EPOCH_ERROR = 1e-6  # the Trainer counts epochs by a sum of floats


class InformationCallback(MonitoredTraining, TrainerCallback):
    """Measure the information of each layer at chosen epochs of a training by `transformers.Trainer`.

    Parameters
    ----------
    inputs, labels
        As in `layerbits.Monitor`.
    **options
        Further arguments of `layerbits.Monitor`; `at` counts whole epochs from 1. With ``log=trainer.log`` the values
        and their ends go to the loggers of the trainer.

    Raises
    ------
    UsageError
        The training starts on several processes.

    Examples
    --------
    >>> import layerbits as lb
    >>> trainer = transformers.Trainer(model, arguments, train_dataset=data)  # doctest: +SKIP
    >>> callback = lb.integrations.transformers.InformationCallback(
    ...     batch, at=[1, 3], directory="runs/mine", sigma=0.5, log=trainer.log
    ... )  # doctest: +SKIP
    >>> trainer.add_callback(callback)  # doctest: +SKIP
    >>> trainer.train()  # doctest: +SKIP
    >>> callback.history  # doctest: +SKIP
    InformationHistory(epochs=(1, 3), layers=('layers.1',))
    """

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the data and the options, for the network that is trained."""
        if model is not None:
            self._start(model, args.world_size)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the epoch if it is chosen and complete."""
        epoch = round(state.epoch or 0.0)
        if self._monitor is not None and abs((state.epoch or 0.0) - epoch) < _EPOCH_ERROR:
            self._monitor.step(epoch)
