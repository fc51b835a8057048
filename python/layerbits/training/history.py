"""The tables of a training: training.csv, and information.csv with the settings in information.json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from layerbits._base import (
    COLUMNS,
    InformationHistory,
    InformationRow,
    InformationTable,
    UsageError,
    check_path,
    damaged_cell,
    damaged_file,
    parse_csv,
    read_json,
    write_csv,
)

TRAINING_FILE, INFORMATION_FILE, SETTINGS_FILE = "training.csv", "information.csv", "information.json"

# Key of the hashes of the weights in information.json.
WEIGHTS = "weights"
# Key of the hashes of the rows of each epoch in information.json, which bind information.csv to it.
ROWS = "rows"
# Key of the versions, threads, instruction sets and devices of the measurements, with their epochs.
ENVIRONMENTS = "environments"
_EPOCHS = "epochs"
# Keys of the provenance of a table that are settings or hashes of their own in information.json.
_SHARED = ("seed", "inputs", "labels")
# Key of the largest possible values of the information.
LIMITS = "limits"

_ERROR = "standard_error"  # an empty cell if the value has none
_TYPES = typing.get_type_hints(InformationRow)
_PARSERS = {"epoch": int, **{column: _TYPES[column] for column in COLUMNS}} | {
    _ERROR: lambda cell: float(cell) if cell else math.nan,
    "flags": lambda cell: tuple(cell.split()),  # separated by spaces
}


class TrainingRow(NamedTuple):
    """A row of training.csv: mean loss per input, in nats for a classifier; accuracy: share of correct outputs."""

    epoch: int
    split: str
    loss: float
    accuracy: float


def read_training(path: Path) -> list[TrainingRow]:
    """Read a training.csv.

    Raises
    ------
    UsageError
        The file is missing or damaged.
    """
    return parse_csv(path, typing.get_type_hints(TrainingRow), TrainingRow)


def write_training(path: Path, rows: Sequence[TrainingRow]) -> None:
    """Write a training.csv."""
    write_csv(path, TrainingRow._fields, rows)


def read_information(
    path: Path,
    limits: Mapping[str, float] | None = None,
    provenance: Mapping[int, Mapping[str, object]] | None = None,
) -> dict[int, InformationTable]:
    """Read an information.csv and return the table of each epoch, with its limits and provenance.

    Raises
    ------
    UsageError
        The file is missing or damaged.
    """
    rows_with_epochs = parse_csv(path, _PARSERS, lambda epoch, *cells: (epoch, InformationRow(*cells)))
    _check_rows(path, rows_with_epochs)
    rows: dict[int, list[InformationRow]] = {}
    for epoch, row in rows_with_epochs:
        rows.setdefault(epoch, []).append(row)
    return {
        epoch: InformationTable(tuple(epoch_rows), limits or {}, (provenance or {}).get(epoch, {}))
        for epoch, epoch_rows in rows.items()
    }


def _check_rows(path: Path, rows: Sequence[tuple[int, InformationRow]]) -> None:
    """Raise a UsageError if a row repeats an earlier one, or if its interval ends cross without their flag."""
    numbers: dict[tuple[object, ...], int] = {}
    for number, (epoch, row) in enumerate(rows, start=1):
        names = epoch, row.layer, row.quantity, row.estimator
        earlier = numbers.setdefault(names, number)
        if earlier != number:
            wanted = f"others than those of row {earlier}"
            raise damaged_cell(path, number, "epoch, layer, quantity and estimator", names, wanted)
        if row.lower > row.upper and "ends_cross" not in row.flags:
            raise damaged_cell(path, number, "lower end", row.lower, f"at most the upper end, {row.upper}")


def environments_of(tables: Mapping[int, InformationTable]) -> list[dict[str, object]]:
    """Return each environment of the tables once, with its epochs."""
    groups: dict[str, dict[str, object]] = {}
    epochs: dict[str, list[int]] = {}
    for epoch in sorted(tables):
        provenance = tables[epoch].provenance
        environment = {key: value for key, value in provenance.items() if key not in (*_SHARED, WEIGHTS)}
        groups[str(environment)] = environment
        epochs.setdefault(str(environment), []).append(epoch)
    return [{**environment, _EPOCHS: epochs[key]} for key, environment in groups.items()]


def provenance_by_epoch(path: Path, settings: Mapping[str, Any]) -> dict[int, dict[str, object]]:
    """Return the provenance of the table of each epoch from the content of an information.json.

    Raises
    ------
    UsageError
        The environments in the settings, which are those of the file `path`, are damaged.
    """
    groups, weights = settings.get(ENVIRONMENTS, []), settings.get(WEIGHTS, {})
    if not isinstance(groups, list) or not all(
        isinstance(group, dict) and isinstance(group.get(_EPOCHS), list) and all(map(_is_epoch, group[_EPOCHS]))
        for group in groups
    ):
        raise damaged_file(path, f"{ENVIRONMENTS} is no list of objects with epochs")
    shared = {key: settings[key] for key in _SHARED if key in settings}
    return {
        epoch: {**{key: value for key, value in group.items() if key != _EPOCHS}, **shared}
        | ({WEIGHTS: weights[str(epoch)]} if str(epoch) in weights else {})
        for group in groups
        for epoch in group[_EPOCHS]
    }


def _is_epoch(value: object) -> bool:
    return type(value) is int


def write_information(path: Path, tables: Mapping[int, InformationTable]) -> None:
    """Write an information.csv with one row for each epoch, layer and quantity."""
    rows = [(epoch, *_cells(row).values()) for epoch in sorted(tables) for row in tables[epoch]]
    write_csv(path, ["epoch", *COLUMNS], rows)


def rows_hash(rows: Iterable[Iterable[object]]) -> str:
    """Return the SHA-256 of the cells of rows, written as in a file."""
    return hashlib.sha256(json.dumps([list(map(str, cells)) for cells in rows]).encode()).hexdigest()


def table_hash(table: InformationTable) -> str:
    """Return the SHA-256 of the rows of a table, written as in information.csv."""
    return rows_hash(_cells(row).values() for row in table)


def epochs_of_other_rows(hashes: Mapping[int, str], recorded: object) -> list[int]:
    """Return the epochs whose hash is not the one that an information.json has recorded."""
    recorded = recorded if isinstance(recorded, dict) else {}
    return [epoch for epoch, digest in hashes.items() if recorded.get(str(epoch), digest) != digest]


def read_history(folder: str | os.PathLike[str]) -> InformationHistory:
    """Read the history in a folder with an information.csv, as a `Monitor` writes it, also while its training runs.

    Without the settings in information.json, the confidence is NaN, and the intervals are not taken for simultaneous.

    Raises
    ------
    TypeError
        `folder` is not a path.
    UsageError
        `folder` is a file, no epoch was measured yet, information.csv is missing, or a file is damaged.

    Examples
    --------
    >>> import tempfile, torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = lb.Monitor(model, torch.eye(2), at=[5], directory=folder, sigma=0.5).step(5)
    ...     history = lb.read_history(folder)
    >>> history.epochs, history.layers, history[5] == table
    ((5,), ('1',), True)
    """
    check_path("folder", folder)
    if os.path.isfile(folder):  # False also for a path that the system refuses
        raise UsageError(f"folder: got the file {os.fspath(folder)!r}, wanted its folder, {str(Path(folder).parent)!r}")
    settings_path, table_path = Path(folder, SETTINGS_FILE), Path(folder, INFORMATION_FILE)
    settings = read_json(settings_path) if os.path.exists(settings_path) else {"confidence": math.nan}
    if settings_path.exists() and not settings.get(WEIGHTS) and not os.path.lexists(table_path):
        raise UsageError(
            f"{settings_path.parent}: no epoch was measured yet; try again after the first `step` that measures"
        )
    confidence, simultaneous = settings.get("confidence"), settings.get("simultaneous", False)
    limits: Any = settings.get(LIMITS, {})
    if not isinstance(confidence, float) or not isinstance(simultaneous, bool):
        raise UsageError(
            f"{settings_path}: got confidence {confidence!r} and simultaneous {simultaneous!r}, wanted a number and a "
            "boolean; name the folder of a Monitor"
        )
    if not isinstance(limits, dict) or not all(isinstance(limit, float) for limit in limits.values()):
        raise UsageError(f"{settings_path}: got limits {limits!r}, wanted numbers; name the folder of a Monitor")
    provenance = provenance_by_epoch(settings_path, settings)
    tables = read_information(table_path, limits, provenance)
    others = epochs_of_other_rows({epoch: table_hash(table) for epoch, table in tables.items()}, settings.get(ROWS))
    if others:
        raise damaged_file(
            table_path,
            f"its rows of epoch {others[0]} are not those that {SETTINGS_FILE} records",
            remedy=f"restore it, or delete {SETTINGS_FILE} to use it unverified",
        )
    return InformationHistory(tables, confidence, simultaneous)


def _cells(row: InformationRow) -> dict[str, object]:
    error = "" if math.isnan(row.standard_error) else row.standard_error
    return dataclasses.asdict(row) | {_ERROR: error, "flags": " ".join(row.flags)}
