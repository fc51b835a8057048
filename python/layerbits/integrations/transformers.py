"""A callback of transformers' Trainer that measures the information of the layers during training."""

from __future__ import annotations

import os
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
        Further arguments of `layerbits.Monitor`; `at` counts whole epochs; 0 is the network before the training. With
        ``log=trainer.log`` the values and the ends of their intervals go to the loggers of the trainer.

    Notes
    -----
    Checkpoints of the trainer have the results so far, in trainer_state.json. A training that resumes from a checkpoint
    and measures into the same folder goes back to these results: later epochs are measured again.

    Raises
    ------
    TypeError, ValueError
        As in `layerbits.Monitor`. Names of arguments, `at`, `directory`, `settings` and `log` are checked at once, the
        other arguments when the training starts.
    UsageError
        The training starts on several processes.

    Examples
    --------
    >>> import tempfile
    >>> import torch, transformers
    >>> import layerbits as lb
    >>> sizes = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=9, **sizes))
    >>> tokens, labels = torch.arange(8).reshape(4, 2), torch.tensor([0, 1, 0, 1])
    >>> data = [{"input_ids": row, "labels": label} for row, label in zip(tokens, labels)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     arguments = transformers.TrainingArguments(folder, num_train_epochs=2, report_to="none", use_cpu=True)
    ...     trainer = transformers.Trainer(model, arguments, train_dataset=data)
    ...     callback = lb.integrations.transformers.InformationCallback(
    ...         {"input_ids": tokens}, labels, at=[1, 2], directory=f"{folder}/mine", sigma=0.5,
    ...         layers="bert.encoder.layer.*", readout="mean",
    ...     )
    ...     trainer.add_callback(callback)
    ...     _ = trainer.train()
    {'train_runtime': ...}
    >>> callback.history.epochs
    (1, 2)
    """

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **_: Any,
    ) -> None:
        """Check the data and the options, restore the results of a checkpoint, and measure epoch 0 if it is chosen."""
        if model is not None:
            states: Any = state.stateful_callbacks  # annotated as the argument, a list; in fact a dictionary
            self._state = states.get(self._key, {})
            self._start(model, args.world_size)
            self._start_epoch = state.epoch or 0.0
            self._measure(state)  # a checkpoint at the last step of an epoch is saved before `on_epoch_end`

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Measure the epoch if it is chosen and complete."""
        self._measure(state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Warn of the chosen epochs that the training did not complete."""
        self._warn_of_missing_epochs()

    @property
    def _key(self) -> str:
        """The key of the results in the state of the trainer; a trainer may have callbacks with several folders."""
        return f"layerbits {os.fspath(self._options['directory'])}"

    def _measure(self, state: TrainerState) -> None:
        """Measure a whole epoch, and put the results into the state of the trainer for its next checkpoint, in JSON."""
        epoch = state.epoch or 0.0
        if self._monitor is not None and abs(epoch - round(epoch)) < _EPOCH_ERROR:
            self._monitor.step(round(epoch))
        states: Any = state.stateful_callbacks
        states[self._key] = self.state_dict()
