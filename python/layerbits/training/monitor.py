"""The monitor: information per layer at chosen epochs of any training loop, kept in `information.csv`."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerbits._base import (
    COLUMNS,
    InformationRow,
    InformationTable,
    NoNoiseError,
    UsageError,
    check_count,
    damaged,
    read_csv,
    read_json,
    write_csv,
    write_json,
)
from layerbits.estimators import check_options, layer_information
from layerbits.kernels import Devices, resolve_devices
from layerbits.networks import NoisyModule, wanted_layers

_PARSERS = {"str": str, "int": int, "float": float}


def log_spaced(first: int, last: int, count: int) -> tuple[int, ...]:
    """Whole numbers from `first` to `last`, evenly spaced on a logarithmic axis.

    Parameters
    ----------
    first, last : int
        The ends, both included; 1 <= first <= last.
    count : int
        At most so many numbers, at least 2; fewer where neighbours round to the same number.

    Returns
    -------
    tuple of int
        Rising, without repeats.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    for name, value in (("first", first), ("last", last), ("count", count)):
        check_count(name, value, least=1)
    if not 1 <= first <= last < 2**53:
        raise ValueError(f"first, last: got {first}, {last}, wanted 1 <= first <= last < 2^53")
    if count < 2:
        raise ValueError(f"count: got {count}, wanted at least 2, for both ends are included")
    return tuple(np.unique(np.rint(np.geomspace(first, last, count)).astype(int)).tolist())


class Monitor:
    """Measures the information per layer at chosen epochs and keeps the rows in ``directory/information.csv``.

    A folder that already holds measurements is resumed: epochs that are there are not measured again. So give every
    training a folder of its own. The settings stand beside the table in ``information.json``.

    Parameters
    ----------
    noisy : NoisyModule
        The network; training it further between the steps is the point.
    inputs, labels, layers, draws, queries, tolerance, confidence, max_seconds, max_draws, seed, estimator
        As in `layerbits.layer_information`; the limits are those of one epoch.
    devices : sequence of torch.device or str, optional
        As in `layerbits.layer_information`; may be others after a resumption.
    at : iterable of int
        Epochs to measure, for instance from `log_spaced`.
    directory : path
        Folder for the files; made if it is missing.

    Raises
    ------
    NoNoiseError
        If `noisy` is a network without noise.
    TypeError, ValueError
        As in `layerbits.layer_information`, for the options; and for epochs that are no whole numbers >= 0.
    UsageError
        If the folder holds measurements with other columns, layers, data or settings, or cannot be written to.
    """

    def __init__(
        self,
        noisy: NoisyModule,
        inputs: Tensor,
        labels: Tensor | None = None,
        *,
        at: Iterable[int],
        directory: str | os.PathLike[str],
        layers: str | Sequence[str] | None = None,
        draws: int = 32,
        queries: int | None = None,
        tolerance: float | None = None,
        confidence: float = 0.95,
        max_seconds: float = 300.0,
        max_draws: int = 4096,
        seed: int = 0,
        estimator: str = "pooled",
        devices: Devices = None,
    ) -> None:
        if not isinstance(noisy, NoisyModule):
            raise NoNoiseError(f"noisy: got {type(noisy).__name__}, wanted what layerbits.noisify returns")
        self.at = _epochs(at)
        check_options(
            draws=draws, queries=queries, tolerance=tolerance, confidence=confidence, max_seconds=max_seconds,
            max_draws=max_draws, seed=seed, estimator=estimator,
        )  # fmt: skip
        self._noisy, self._inputs, self._labels = noisy, inputs, labels
        home = next((parameter.device for parameter in noisy.parameters()), torch.device("cpu"))
        self._devices = resolve_devices(devices, home) or None
        # One seed for all epochs: what the Monte Carlo noise does to them is then much the same, so curves are smooth.
        self._options: dict[str, Any] = {
            "layers": list(wanted_layers(noisy, layers)),
            "draws": int(draws),
            "queries": None if queries is None else int(queries),
            "tolerance": None if tolerance is None else float(tolerance),
            "confidence": float(confidence),
            "max_seconds": float(max_seconds),
            "max_draws": int(max_draws),
            "seed": int(seed),
            "estimator": estimator,
        }
        self._folder = Path(directory)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._tables = self._resume()
        except OSError as error:
            raise UsageError(
                f"directory: {self._folder} cannot be written to ({error.strerror}); name another"
            ) from error

    @property
    def tables(self) -> Mapping[int, InformationTable]:
        """What has been measured, by epoch; with what an earlier run left in the folder."""
        return MappingProxyType(self._tables)

    def step(self, epoch: int) -> InformationTable | None:
        """Measure and record, if `epoch` is to be measured and is not yet.

        Parameters
        ----------
        epoch : int
            Number of the epoch that has just ended.

        Returns
        -------
        InformationTable or None
            The table of this epoch, also when the folder had it already; None at an epoch that is not in `at`.
        """
        if epoch not in self.at:
            return None
        if epoch not in self._tables:
            self._tables[epoch] = layer_information(
                self._noisy, self._inputs, self._labels, devices=self._devices, **self._options
            )
            write_information(self._folder / "information.csv", self._tables)
        return self._tables[epoch]

    def _resume(self) -> dict[int, InformationTable]:
        table, beside = self._folder / "information.csv", self._folder / "information.json"
        data = {"inputs": _digest(self._inputs), "labels": _digest(self._labels)}
        sigma = self._noisy.sigma or _digest(tuple(noise.scale for noise in self._noisy.noise.values()))
        settings = {**self._options, "sigma": sigma, **data}
        if not table.exists():
            write_json(beside, settings)
            return {}
        before = read_json(beside) if beside.exists() else {}
        for name, wanted in settings.items():
            if name not in before or before[name] != wanted:
                got = repr(before[name]) if name in before else "unknown"
                raise UsageError(f"{name}: {table} was measured with {got}, wanted {wanted!r}; use another folder")
        # An epoch of which rows are gone is measured again, if it comes round again.
        rows = len(self._options["layers"]) * (3 if self._labels is None else 5)
        return {epoch: found for epoch, found in read_information(table).items() if len(found) == rows}


def _epochs(at: object) -> tuple[int, ...]:
    if isinstance(at, str) or not isinstance(at, Iterable):
        raise TypeError(f"at: got {type(at).__name__}, wanted epochs, for instance log_spaced(1, 1000, 20)")
    epochs = tuple(sorted({check_count("at", epoch, least=0) for epoch in at}))
    if not epochs:
        raise ValueError("at: got no epoch, wanted at least one")
    return epochs


def _digest(data: object) -> str:
    """Return a hash of the values of a tensor, an array, or a tuple of them; empty for None."""
    digest = hashlib.sha256()
    for part in data if isinstance(data, tuple) else (data,):
        digest.update(np.asarray(part.cpu() if isinstance(part, Tensor) else part).tobytes())
    return "" if data is None else digest.hexdigest()


def write_information(path: Path, tables: Mapping[int, InformationTable]) -> None:
    """Write an `information.csv`, a row for each (epoch, layer, quantity)."""
    rows = [(epoch, *dataclasses.astuple(row)) for epoch in sorted(tables) for row in tables[epoch]]
    write_csv(path, ["epoch", *COLUMNS], rows)


def read_information(path: Path) -> dict[int, InformationTable]:
    """Read an `information.csv`: the table of each epoch.

    Raises
    ------
    UsageError
        If the file has other columns.
    """
    rows: dict[int, list[InformationRow]] = {}
    try:
        for epoch, *cells in read_csv(path, ["epoch", *COLUMNS]):
            rows.setdefault(int(epoch), []).append(_parse_row(cells))
    except UsageError:
        raise
    except ValueError as error:
        raise damaged(path, str(error)) from error
    return {epoch: InformationTable(tuple(of_epoch)) for epoch, of_epoch in rows.items()}


def _parse_row(cells: Sequence[str]) -> InformationRow:
    fields = dataclasses.fields(InformationRow)
    return InformationRow(*(_PARSERS[str(field.type)](cell) for field, cell in zip(fields, cells, strict=True)))
