"""A callback of Lightning that measures the information of the layers during training."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from layerbits.integrations.monitored_training import MonitoredTraining


class InformationCallback(MonitoredTraining, Callback):
    """Measure the information of each layer at chosen epochs of a training by Lightning.

    The values and their ends go to the loggers of the trainer, under the names of `InformationTable.scalars`.

    Parameters
    ----------
    inputs, labels
        As in `layerbits.Monitor`.
    **options
        Further arguments of `layerbits.Monitor`; `at` counts epochs from 1.

    Raises
    ------
    UsageError
        The training starts on several processes.

    Examples
    --------
    >>> import layerbits as lb
    >>> callback = lb.integrations.lightning.InformationCallback(
    ...     torch.eye(2), at=[1, 10], directory="runs/mine", sigma=0.5
    ... )  # doctest: +SKIP
    >>> lightning.Trainer(callbacks=[callback], max_epochs=10).fit(model, loader)  # doctest: +SKIP
    >>> callback.history  # doctest: +SKIP
    InformationHistory(epochs=(1, 10), layers=('1',))
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the data and the options."""
        self._start(pl_module, trainer.world_size)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the epoch if it is chosen."""
        if self._monitor is not None:
            table = self._monitor.step(trainer.current_epoch + 1)
            if table is not None:
                pl_module.log_dict(table.scalars())
