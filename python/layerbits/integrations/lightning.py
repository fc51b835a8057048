"""A callback of Lightning that measures the information of the layers during training."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from layerbits.integrations.monitored_training import MonitoredTraining


class InformationCallback(MonitoredTraining, Callback):
    """Measure the information of each layer at chosen epochs of a training by Lightning.

    The values and the ends of their intervals go to the loggers of the trainer, under the names of
    `InformationTable.scalars`. Under `fast_dev_run` the callback measures nothing and writes no file.

    Parameters
    ----------
    inputs, labels
        As in `layerbits.Monitor`.
    **options
        Further arguments of `layerbits.Monitor`; `at` counts epochs; 0 is the network before the training.

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
    >>> import lightning, torch
    >>> import layerbits as lb
    >>> class Classifier(lightning.LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    ...
    ...     def forward(self, inputs):
    ...         return self.layers(inputs)
    ...
    ...     def training_step(self, batch, index):
    ...         return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])
    ...
    ...     def configure_optimizers(self):
    ...         return torch.optim.Adam(self.parameters())
    >>> inputs, labels = torch.eye(2), torch.tensor([0, 1])
    >>> loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     callback = lb.integrations.lightning.InformationCallback(
    ...         inputs, labels, at=[1, 2], directory=f"{folder}/mine", sigma=0.5
    ...     )
    ...     quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    ...     trainer = lightning.Trainer(callbacks=[callback], max_epochs=2, default_root_dir=folder, **quiet)
    ...     trainer.fit(Classifier(), loader)
    >>> callback.history
    InformationHistory(epochs=(1, 2), layers=('layers.1',))
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the data and the options."""
        if not _is_dev_run(trainer):
            self._start(pl_module, trainer.world_size)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the network before the training if epoch 0 is chosen."""
        if self._monitor is None or _is_dev_run(trainer):
            return
        self._start_epoch = trainer.current_epoch
        if trainer.global_step == 0:
            table = self._monitor.step(0)
            if table is not None:
                for logger in trainer.loggers:  # `log_dict` would log at the end of epoch 1
                    logger.log_metrics(table.scalars(), step=0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the epoch if it is chosen and complete: the trainer also calls this when it stops within an epoch."""
        if self._monitor is not None and trainer.is_last_batch and not _is_dev_run(trainer):
            table = self._monitor.step(trainer.current_epoch + 1)
            if table is not None:
                pl_module.log_dict(table.scalars())

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn of the chosen epochs that the training did not complete, also if it had no steps."""
        if not _is_dev_run(trainer):
            self._warn_of_missing_epochs()


def _is_dev_run(trainer: Trainer) -> bool:
    """Return whether the trainer runs a few batches in search of errors, without logs and checkpoints."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]  # set by a function outside of the class
