"""The monitor, which measures the information of each layer at chosen epochs of any training loop."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from layerbits._base import InformationHistory, InformationTable, UsageError, refuse_earlier_parameters
from layerbits.estimators import (
    InputDecoder,
    MeasurementSettings,
    Problem,
    data_digest,
    environment_of,
    measure_layers,
    network_digest,
)
from layerbits.kernels import Devices, Group, Processes
from layerbits.networks import Inputs, Labels, Layers, Readouts, Sigma, global_states_restored, read_inputs
from layerbits.training.epochs import checked_epoch, checked_epochs
from layerbits.training.history import INFORMATION_FILE, SETTINGS_FILE, WEIGHTS
from layerbits.training.measures import MeasureRow, Measures, checked_measures, measure_activations
from layerbits.training.monitor_log import MonitorLog
from layerbits.training.monitor_record import MonitorRecord, check_state
from layerbits.training.overhead import Overhead
from layerbits.training.provenance import provenance_of

_DEFAULT_SETTINGS = MeasurementSettings()
# Parameters of version 0.1 that are settings now.
_EARLIER_OPTIONS = ("draws", "queries", "tolerance", "confidence", "max_seconds", "max_draws", "seed", "estimator")
_refuse_earlier_options = refuse_earlier_parameters(
    noisy="model", **dict.fromkeys(_EARLIER_OPTIONS, "settings=MeasurementSettings(...)")
)


class Monitor:
    """Measure the information of each layer at chosen epochs and write it to ``directory/information.csv``.

    An epoch that the folder already has is not measured again; it is refused if the network has other weights or noise
    than at its measurement, so every training needs its own folder. Weights are parameters and buffers: a change of the
    code, of a Python attribute or of a module that is no submodule is not detected. The settings, and a hash of weights
    and noise at each epoch, are written to ``information.json`` beside the table.

    Parameters
    ----------
    model : torch.nn.Module
        The network; training may change it between the steps.
    inputs, labels, limit, layers, readout, sigma
        As in `layerbits.layer_information`. Tensors and arrays are not copied; a step that measures refuses inputs that
        have changed in place.
    at : iterable of int
        Epochs to measure, for instance from `log_spaced`.
    directory : path
        Folder for the files; made if it is missing.
    settings : MeasurementSettings, optional
        Settings of each measurement. All epochs use the same seed, so that their Monte Carlo errors are similar and the
        curves over the epochs smooth. With `simultaneous`, all intervals of all epochs of `at` hold together. The risk
        is then divided by the number of these epochs, so `at` is a setting of the folder.
    devices : sequence of torch.device or str, optional
        As in `layerbits.layer_information`; a resumed run may use other devices.
    log : callable, optional
        A function that gets a dictionary of floats at each measured epoch: `InformationTable.scalars` and the epoch, as
        ``"information/epoch"``. Loggers such as ``wandb.log`` are such functions. Epochs that the folder already has
        are not sent again. If it raises an exception, the first one becomes a warning, and the training goes on.
    decoders : sequence of InputDecoder, optional
        Decoders q(x|t) of your own, as in `layerbits.layer_information`. ``information.json`` holds their printed form.
    max_overhead : float, optional
        About the largest time of all measurements, as a share of the time of training between them. An epoch whose
        measurement would take more is left out, and so is one that leaves too little for the last epoch of `at`. The
        first epoch of a monitor without a loaded state is always measured, because the time of a measurement is
        unknown. A warning names the first epoch that is left out, and ``information.json`` lists all of them.
    measures : sequence of str or callable, or mapping, optional
        Further measures of each layer, written to ``measures.csv``: functions of its activations without noise, shape
        (n, d), as `layerbits.layer_activations` returns them, and of the class numbers, shape (n,), None without
        labels. A measure returns a number, a mapping of numbers, or a dataclass with numbers. The names
        ``"class_separation"``, ``"pairwise_distance_histogram"`` (its overlap) and ``"binned_entropy"`` stand for the
        functions of `layerbits`; the keys of a mapping are other names, which differ from columns and quantities.
    group : torch.distributed.ProcessGroup, optional
        Processes that train the network together, as under DistributedDataParallel, and share each measurement. Each of
        them makes the monitor and calls `step` at every epoch; rank 0 reads and writes the files and calls `log`. All
        need the same weights and buffers: running means of batch norms differ between processes, unless the norms are
        `torch.nn.SyncBatchNorm` or the buffers are broadcast.

    Raises
    ------
    NoNoiseError, LayerSelectionError, TypeError, ValueError
        As in `layerbits.layer_information`; or `at` is not an iterable of whole numbers of at least 0, or is empty; or
        `max_overhead` is not positive, or `measures` has something else than known names and functions.
    UsageError
        The folder holds measurements with other columns, layers, data or settings, or cannot be written to.
    GroupError
        Another process of the group failed, made another call, or did not take part within the group's time-out.

    Examples
    --------
    >>> import tempfile, torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     monitor = lb.Monitor(
    ...         model, torch.eye(2), at=[1, 3], directory=folder, sigma=0.5, measures=["binned_entropy"]
    ...     )
    ...     for epoch in range(1, 4):  # train here
    ...         table = monitor.step(epoch)  # None at epoch 2
    >>> monitor.history.epochs, monitor.measures[3][0].measure
    ((1, 3), 'binned_entropy')
    """

    @_refuse_earlier_options
    @global_states_restored(after_success=False)
    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        labels: Labels | None = None,
        *,
        at: Iterable[int],
        directory: str | os.PathLike[str],
        limit: int | None = None,
        layers: Layers = None,
        readout: Readouts = None,
        sigma: Sigma | None = None,
        settings: MeasurementSettings = _DEFAULT_SETTINGS,
        devices: Devices = None,
        log: Callable[[dict[str, float]], object] | None = None,
        decoders: Sequence[InputDecoder] | None = None,
        max_overhead: float | None = None,
        measures: Measures | None = None,
        group: Group = None,
    ) -> None:
        self._processes = Processes(group)
        with self._processes.call("Monitor"):
            self.at, self._log = _checked_options(at, directory, settings, log)
            data = read_inputs(inputs, model, labels, limit=limit, seed=settings.seed, max_memory=settings.max_memory)
            self._problem = Problem.of(
                model,
                data,
                layers=layers,
                readout=readout,
                sigma=sigma,
                devices=devices,
                processes=self._processes,
                max_memory=settings.max_memory,
                decoders=decoders,
            )
            self._problem.check_settings(settings)
            self._settings = settings
            self._measures = checked_measures(measures, self._problem)
            self._overhead = Overhead(max_overhead, self.at[-1], model)
            self._path = Path(directory, INFORMATION_FILE)
            provenance = provenance_of(self._problem, settings, self.at, tuple(self._measures))
            self._record = MonitorRecord(self._path.parent, provenance, writes=self._processes.rank == 0)
            self._problem.free_gathered_weights()
            if self._record.writes:
                self._read_folder()
            if self._processes.size > 1:  # the folder may be on a disk of rank 0
                self._record.restore(self._processes.agreed("the files of the monitor", self._record.state()))

    def _read_folder(self) -> None:
        """Read the measured epochs, and write the settings if there are none."""
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._record.read(self._problem.row_keys, list(itertools.product(self._problem.layers, self._measures)))
            if not self._record.tables:
                self._record.write_settings()
        except (OSError, ValueError) as error:  # ValueError: a path with a null byte
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"directory: {str(folder)!r} cannot be written to ({error}); name another") from error

    @property
    def tables(self) -> Mapping[int, InformationTable]:
        """Tables of the measured epochs, including earlier runs in the folder."""
        return MappingProxyType(self._record.tables)

    @property
    def history(self) -> InformationHistory:
        """The measured epochs, including earlier runs in the folder; `read_history` reads the same from the folder."""
        return InformationHistory(self._record.tables, self._settings.confidence, self._settings.simultaneous)

    def _repr_html_(self) -> str:
        return self.history._repr_html_()

    def __repr__(self) -> str:
        return f"Monitor(directory={str(self._path.parent)!r}, epochs={self.history.epochs})"

    @property
    def measures(self) -> Mapping[int, tuple[MeasureRow, ...]]:
        """Numbers of `measures` by epoch: tuples of layer, measure and value, the rows of measures.csv."""
        return MappingProxyType(self._record.measures)

    @property
    def left_out(self) -> tuple[int, ...]:
        """The epochs of `at` that `max_overhead` left out, ascending."""
        return tuple(sorted(self._record.left_out))

    def unmeasured_epochs(self, last_epoch: int) -> list[int]:
        """Return the epochs of `at`, up to `last_epoch`, that have no table and were not left out."""
        known = self._record.tables.keys() | self._record.left_out
        return [epoch for epoch in self.at if epoch <= last_epoch and epoch not in known]

    def step(self, epoch: int) -> InformationTable | None:
        """Measure the network and write its table if `epoch` is chosen and has no table.

        If one of `measures` raised an error at this epoch, a further call computes the measures alone.

        Parameters
        ----------
        epoch : int
            Number of the epoch that has just ended, at least 0; a float that is a whole number is taken too.

        Returns
        -------
        InformationTable or None
            The table of this epoch, whether new or already in the folder; None if `epoch` is not in `at` or is left
            out.

        Raises
        ------
        TypeError, ValueError
            `epoch` is not a whole number of at least 0; the inputs have changed in place; or as in
            `layerbits.layer_information`, for a network that has changed.
        UsageError
            The folder has this epoch of a network with other weights or noise, another monitor has written to it, or
            a file cannot be written.
        """
        epoch = checked_epoch("epoch", epoch)
        if epoch not in self.at:
            return None
        with self._processes.call("Monitor.step"):
            self._processes.check_equal("Monitor.step", epoch=epoch)
            has_table = epoch in self._record.tables
            if has_table and self._record.weights[epoch] != network_digest(self._problem.for_present_network()):
                raise UsageError(
                    f"epoch: got {epoch}, which {self._path} holds for a network with other weights or noise; use "
                    "another folder"
                )
            # A measure that raised an error left a table without measures.
            has_all = has_table and (not self._measures or bool(self._record.measures[epoch]))
            is_new = not self._processes.agreed("measures", has_all)
            if is_new:
                if not has_table and not self._processes.agreed("max_overhead", self._overhead.allows(epoch)):
                    self._leave_out(epoch)
                    return None
                with self._overhead.measuring():
                    self._measure(epoch)
        if is_new and self._processes.rank == 0:
            self._log.send(epoch, self._record.tables[epoch], self._record.measures[epoch], self._path)
        return self._record.tables[epoch]

    def state_dict(self) -> dict[str, Any]:
        """Return the results so far and the seconds of training and of measurements, for a checkpoint of the training.

        `torch.load` reads it with ``weights_only=True``.
        """
        return {**self._record.state(), "seconds": self._overhead.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace the results, also those in the folder, by those of `state_dict`: later epochs are measured again.

        Raises
        ------
        UsageError
            The state was measured with other settings or data, or a file cannot be written.
        ValueError
            The state is not the result of `state_dict`.
        """
        check_state(state, self.state_dict())
        self._record.restore(state)
        self._overhead.restore(state["seconds"])
        self._record.write()
        self._record.warn_of_other_environment("the state")

    def _measure(self, epoch: int) -> None:
        if data_digest(self._problem.inputs.tensors) != self._record.settings["inputs"]:
            raise ValueError(
                "inputs: got tensors whose values have changed since the monitor was made, wanted the same inputs "
                "at every epoch; pass a copy to the monitor, such as inputs.clone()"
            )
        problem = self._problem.for_present_network()
        if epoch not in self._record.tables:
            environment, weights = environment_of(problem), network_digest(problem)
            table = measure_layers(problem, self._settings, n_tables=len(self.at))
            shared = {key: self._record.settings[key] for key in ("seed", "inputs", "labels")}
            table = dataclasses.replace(table, provenance={**environment, **shared, WEIGHTS: weights})
            self._record.add(epoch, table, weights, ())
        try:
            self._record.measures[epoch] = measure_activations(problem, self._measures)
        finally:  # an error of a measure leaves the information in the folder
            self._record.write()

    def _leave_out(self, epoch: int) -> None:
        is_first = not self._record.left_out
        self._record.left_out.add(epoch)
        # The next measurement writes the later epochs: to write a file at every epoch could take more time than the
        # limit allows.
        if is_first or epoch == self.at[-1]:
            self._record.write_settings()
        if is_first:
            warnings.warn(
                f"max_overhead: epoch {epoch} is left out, because its measurement would take too large a share of the "
                f"training time; {SETTINGS_FILE} in {self._path.parent} lists the epochs that are left out",
                RuntimeWarning,
                stacklevel=3,
            )


@_refuse_earlier_options
def checked_monitor_options(**options: Any) -> dict[str, Any]:
    """Return keyword arguments of a `Monitor`, checked as far as this needs no network; `at` becomes a tuple.

    Raises
    ------
    TypeError, ValueError
        An argument is missing or has an unknown name, or `at`, `directory`, `settings` or `log` is refused.
    """
    arguments = inspect.signature(Monitor).bind(None, None, **options)
    arguments.apply_defaults()
    given = arguments.arguments
    at, _ = _checked_options(given["at"], given["directory"], given["settings"], given["log"])
    return {**options, "at": at}


def _checked_options(at: object, directory: object, settings: object, log: Any) -> tuple[tuple[int, ...], MonitorLog]:
    """Return the epochs and the log of a monitor, from arguments that are checked without a network."""
    epochs = checked_epochs(at)
    if not isinstance(settings, MeasurementSettings):
        raise TypeError(f"settings: got {type(settings).__name__}, wanted a layerbits.MeasurementSettings")
    if not isinstance(directory, str | os.PathLike):
        raise TypeError(f"directory: got {type(directory).__name__}, wanted the path of a folder")
    if not os.fspath(directory):
        raise ValueError("directory: got '', wanted the path of a folder; '.' is the current one")
    return epochs, MonitorLog(log)
