"""The monitor, which measures the information of each layer at chosen epochs of any training loop."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layerbits._base import InformationHistory, InformationTable, UsageError
from layerbits.estimators import InputDecoder, MeasurementSettings, Problem, decoder_descriptions, measure_layers
from layerbits.kernels import Devices
from layerbits.networks import (
    DropoutNoise,
    GaussianNoise,
    Inputs,
    Labels,
    Layers,
    PassInputs,
    Readouts,
    RelativeSigma,
    Sigma,
    read_inputs,
)
from layerbits.training.epochs import checked_epoch, checked_epochs
from layerbits.training.history import INFORMATION_FILE, LIMITS, resume_information, write_information, write_settings

_DEFAULT_SETTINGS = MeasurementSettings()


class Monitor:
    """Measure the information of each layer at chosen epochs and write it to ``directory/information.csv``.

    An epoch that the folder already has is not measured again; it is refused if the network has other weights than at
    its measurement, so every training needs its own folder. Weights are parameters and buffers: a change of the code or
    of a Python attribute of the network is not found. The settings and a hash of the weights at each epoch are
    written to ``information.json`` beside the table.

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
        ``"information/epoch"``. Loggers such as ``wandb.log`` are such functions. If it raises an exception, the first
        one becomes a warning, and the training goes on.
    decoders : sequence of InputDecoder, optional
        Decoders q(x|t) of your own, as in `layerbits.layer_information`. ``information.json`` holds their printed form.

    Raises
    ------
    NoNoiseError, LayerSelectionError, TypeError, ValueError
        As in `layerbits.layer_information`; or `at` is not an iterable of whole numbers of at least 0, or is empty.
    UsageError
        The folder holds measurements with other columns, layers, data or settings, or cannot be written to.
    """

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
    ) -> None:
        self.at = checked_epochs(at)
        if not isinstance(settings, MeasurementSettings):
            raise TypeError(f"settings: got {type(settings).__name__}, wanted a layerbits.MeasurementSettings")
        if not isinstance(directory, str | os.PathLike):
            raise TypeError(f"directory: got {type(directory).__name__}, wanted the path of a folder")
        if not os.fspath(directory):
            raise ValueError("directory: got '', wanted the path of a folder; '.' is the current one")
        data = read_inputs(inputs, model, labels, limit=limit, seed=settings.seed, max_memory=settings.max_memory)
        self._problem = Problem.of(
            model,
            data,
            layers=layers,
            readout=readout,
            sigma=sigma,
            devices=devices,
            max_memory=settings.max_memory,
            decoders=decoders,
        )
        self._problem.check_settings(settings)
        if log is not None and not callable(log):
            raise TypeError(f"log: got {type(log).__name__}, wanted a function of a dictionary, such as wandb.log")
        self._settings, self._log, self._log_failed = settings, log, False
        self._path = Path(directory, INFORMATION_FILE)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._provenance = self._provenance_of(data)
            self._tables, self._weights = self._resume()
        except (OSError, ValueError) as error:  # ValueError: a path with a null byte
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"directory: {str(directory)!r} cannot be written to ({error}); name another") from error

    @property
    def tables(self) -> Mapping[int, InformationTable]:
        """Tables of the measured epochs, including earlier runs in the folder."""
        return MappingProxyType(self._tables)

    @property
    def history(self) -> InformationHistory:
        """The measured epochs, including earlier runs in the folder; `read_history` reads the same from the folder."""
        return InformationHistory(self._tables, self._settings.confidence, self._settings.simultaneous)

    def unmeasured_epochs(self, last_epoch: int) -> list[int]:
        """Return the epochs of `at`, up to `last_epoch`, that have no table."""
        return [epoch for epoch in self.at if epoch <= last_epoch and epoch not in self._tables]

    def step(self, epoch: int) -> InformationTable | None:
        """Measure the network and write its table if `epoch` is chosen and has no table.

        Parameters
        ----------
        epoch : int
            Number of the epoch that has just ended, at least 0; a float that is a whole number is taken too.

        Returns
        -------
        InformationTable or None
            The table of this epoch, whether new or already in the folder; None if `epoch` is not in `at`.

        Raises
        ------
        TypeError, ValueError
            `epoch` is not a whole number of at least 0; the inputs have changed in place; or as in
            `layerbits.layer_information`, for a network that has changed.
        UsageError
            The folder has this epoch of a network with other weights, or a file cannot be written.
        """
        epoch = checked_epoch("epoch", epoch)
        if epoch not in self.at:
            return None
        weights = _digest((*self._problem.model.parameters(), *self._problem.model.buffers()))
        if epoch not in self._tables:
            if _digest(self._problem.inputs.tensors) != self._provenance["inputs"]:
                raise ValueError(
                    "inputs: got tensors whose values have changed since the monitor was made, wanted the same inputs "
                    "at every epoch; pass a copy to the monitor, such as inputs.clone()"
                )
            problem = self._problem.for_present_network()
            self._tables[epoch] = measure_layers(problem, self._settings, n_tables=len(self.at))
            self._weights[epoch] = weights
            # The table is written last, so that its rows always have the hash of their weights.
            write_settings(self._path.parent, self._provenance, self._weights)
            write_information(self._path, self._tables)
        elif self._weights[epoch] != weights:
            raise UsageError(
                f"epoch: got {epoch}, which {self._path} holds for a network with other weights; use another folder"
            )
        self._send_to_log(epoch)
        return self._tables[epoch]

    def _send_to_log(self, epoch: int) -> None:
        if self._log is None:
            return
        try:
            self._log({**self._tables[epoch].scalars(), "information/epoch": epoch})
        except Exception as error:  # a logger may raise any exception
            if not self._log_failed:
                warnings.warn(
                    f"log: got {type(error).__name__} ({error}) at epoch {epoch}; the training goes on, and "
                    f"{self._path} has the numbers",
                    RuntimeWarning,
                    stacklevel=3,
                )
            self._log_failed = True

    def _provenance_of(self, data: PassInputs) -> dict[str, Any]:
        """Return the settings, the noise and hashes of the data, as they stand in information.json."""
        return {
            "at": list(self.at) if self._settings.simultaneous else None,
            "layers": list(self._problem.parts),
            "network": hashlib.sha256(_structure(self._problem.model).encode()).hexdigest(),
            **dataclasses.asdict(self._settings),
            "draws": self._settings.draws_for(self._problem.n_inputs),
            "sigma": _noise_description(self._problem),
            "decoders": decoder_descriptions(self._problem.decoders),
            "measurement_noise": not self._problem.network.adds_noise,
            "inputs": _digest(data.tensors),
            "arguments": hashlib.sha256(repr((data.structure, data.constants)).encode()).hexdigest(),
            "labels": _digest(tuple(data.labels.values())),
            "label_sets": list(data.labels),
            LIMITS: self._problem.limits,
        }

    def _resume(self) -> tuple[dict[int, InformationTable], dict[int, str]]:
        tables, weights = resume_information(self._path.parent, self._provenance)
        if not tables:
            write_settings(self._path.parent, self._provenance, {})
        # An epoch that lost rows is measured again.
        complete_tables = {
            epoch: table for epoch, table in tables.items() if len(table) == self._problem.n_rows and epoch in weights
        }
        return complete_tables, {epoch: weights[epoch] for epoch in complete_tables}


def _structure(model: nn.Module) -> str:
    """Return the types and settings of the modules of a network, which weights do not show."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(model))  # functions and objects have other addresses in each process


def _noise_description(problem: Problem) -> object:
    """Return the noise of a problem, as it stands in information.json."""
    sigmas = problem.sigma.values() if isinstance(problem.sigma, Mapping) else [problem.sigma]
    if any(isinstance(sigma, RelativeSigma) for sigma in sigmas):
        # The noise of the layers changes with the weights; the shares do not.
        keys = list(problem.sigma) if isinstance(problem.sigma, Mapping) else ["**"]
        return {
            key: repr(sigma)
            if isinstance(sigma, DropoutNoise | RelativeSigma)
            else _digest(sigma.scale if isinstance(sigma, GaussianNoise) else sigma)
            for key, sigma in zip(keys, sigmas, strict=True)
        }
    noise_of_layers = problem.network.noise.values()
    if any(isinstance(noise, DropoutNoise) for noise in noise_of_layers):
        return [repr(noise) if isinstance(noise, DropoutNoise) else _digest(noise.scale) for noise in noise_of_layers]
    scales = [noise.scale for noise in noise_of_layers if not isinstance(noise, DropoutNoise)]
    is_isotropic = len(set(map(str, scales))) == 1 and isinstance(scales[0], float)
    return scales[0] if is_isotropic else _digest(tuple(scales))


def _digest(data: object) -> str:
    """Return a hash of the values of a tensor, an array or a number, or of a tuple of them; empty for None."""
    if data is None:
        return ""
    digest = hashlib.sha256()
    for part in data if isinstance(data, tuple) else (data,):
        digest.update(str(np.shape(part)).encode())
        if isinstance(part, Tensor):
            # NumPy has no bfloat16, so bytes are hashed.
            part = part.detach().cpu().flatten().contiguous().view(torch.uint8)
        # Inputs may be as large as the memory, so they are not copied.
        digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
