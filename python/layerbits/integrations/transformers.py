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
