"""The results of a `Monitor` in memory, in the files of its folder, and as a state for checkpoints."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerbits._base import (
    InformationRow,
    InformationTable,
    UsageError,
    damaged_cell,
    damaged_file,
    file_stamp,
    listed,
    read_json,
    shown_path,
    stacklevel_of_user,
    write_json,
)
from layerbits.kernels import other_environment
from layerbits.training.history import (
    ENVIRONMENTS,
    INFORMATION_FILE,
    LIMITS,
    ROWS,
    SETTINGS_FILE,
    WEIGHTS,
    environments_of,
    epochs_of_other_rows,
    provenance_by_epoch,
    read_information,
    rows_hash,
    table_hash,
    write_information,
)
from layerbits.training.measures import MEASURES_FILE, MeasureRow, read_measures, write_measures

# Key of the epochs that `max_overhead` left out, in information.json.
LEFT_OUT = "left_out"

# Key of the hashes of the measures of each epoch in information.json, which bind measures.csv to it.
MEASURE_ROWS = "measure_rows"

# Settings that are hashes, and what other hashes mean.
_ORDER = "or the same in another order (a loader with shuffle=True gives another each time; pass shuffle=False)"
_HASHED = {
    "inputs": f"other inputs, {_ORDER} or in another dtype",
    "labels": f"other labels, {_ORDER}",
    "network": "a network of other modules",
    "arguments": "other arguments beside the tensors",
}

# The hash of no labels in files of earlier versions; now an empty text.
_NO_LABELS = hashlib.sha256().hexdigest()

# A hash in hexadecimal digits, and the number of digits that a message shows.
_HASH, _SHOWN_DIGITS = re.compile("[0-9a-f]{64}"), 8


@dataclasses.dataclass
class MonitorRecord:
    """Results by epoch: tables, hashes of the weights and numbers of other measures; and the left-out epochs.

    Attributes
    ----------
    folder : pathlib.Path
        Folder of the files.
    settings : mapping
        Settings, and hashes of the data, which all results must share.
    writes : bool
        Whether this process writes the files.
    """

    folder: Path
    settings: Mapping[str, Any]
    writes: bool = True
    tables: dict[int, InformationTable] = dataclasses.field(default_factory=dict)
    weights: dict[int, str] = dataclasses.field(default_factory=dict)
    measures: dict[int, tuple[MeasureRow, ...]] = dataclasses.field(default_factory=dict)
    left_out: set[int] = dataclasses.field(default_factory=set)
    _stamp: tuple[int, int] | None = dataclasses.field(default=None, init=False)  # information.csv at the last access

    def read(self, row_keys: Collection[tuple[str, str]], measures: Collection[tuple[str, str]]) -> None:
        """Read the epochs of the folder; those without a row, a hash, or a measure of a layer are dropped.

        Parameters
        ----------
        row_keys
            Layer and quantity of each row of a table.
        measures
            Layer and name of each measure.

        Raises
        ------
        UsageError
            The tables were measured with other settings, a row has another layer or quantity, or a file is damaged.

        Warns
        -----
        RuntimeWarning
            An epoch is dropped because its rows are not those of the settings, as in a table of another run.
        """
        table_path, settings_path, measures_path = (
            self.folder / name for name in (INFORMATION_FILE, SETTINGS_FILE, MEASURES_FILE)
        )
        self._stamp = file_stamp(table_path)
        if self._stamp is None:
            return
        if not settings_path.exists():
            raise UsageError(
                f"{settings_path}: missing, so the settings of {table_path} are unknown; use another folder"
            )
        content = read_json(settings_path)
        self._check_settings(content, str(table_path), "use another folder")
        weights, left_out = content.get(WEIGHTS, {}), content.get(LEFT_OUT, [])
        if not isinstance(weights, dict) or not all(map(str.isdecimal, weights)):
            raise damaged_file(settings_path, f"{WEIGHTS} has keys that are not epochs")
        if not isinstance(left_out, list) or not all(isinstance(epoch, int) for epoch in left_out):
            raise damaged_file(settings_path, f"{LEFT_OUT} has items that are not epochs")
        rows = read_measures(measures_path) if measures and measures_path.exists() else {}
        provenance = provenance_by_epoch(settings_path, content)
        tables = read_information(table_path, self.settings[LIMITS], provenance)
        self._check_rows(table_path, tables, row_keys)
        hashes = {epoch: table_hash(table) for epoch, table in tables.items()}
        others = dict.fromkeys(epochs_of_other_rows(hashes, content.get(ROWS)), table_path)
        hashes = {epoch: rows_hash(measured) for epoch, measured in rows.items()}
        others |= dict.fromkeys(epochs_of_other_rows(hashes, content.get(MEASURE_ROWS)), measures_path)
        for epoch, table in tables.items():
            measured = {(row.layer, row.measure.partition("/")[0]) for row in rows.get(epoch, ())}
            if len(table) == len(row_keys) and str(epoch) in weights and measured >= set(measures):
                if epoch in others:
                    warnings.warn(
                        f"{shown_path(others[epoch])}: the rows of epoch {epoch} are not those that {SETTINGS_FILE} "
                        "records, and are left out",
                        RuntimeWarning,
                        stacklevel=stacklevel_of_user(),
                    )
                else:
                    self.add(epoch, table, str(weights[str(epoch)]), rows.get(epoch, ()))
        self.left_out = set(left_out)
        self.warn_of_other_environment(shown_path(table_path))

    def warn_of_other_environment(self, source: str) -> None:
        """Warn if a table from the source was measured with other versions, threads or instruction sets."""
        changes = next(filter(None, (other_environment(table.provenance) for table in self.tables.values())), "")
        if changes:
            warnings.warn(
                f"{source}: earlier epochs were measured with another {changes}; new epochs may have other "
                "numbers than an uninterrupted training",
                RuntimeWarning,
                stacklevel=stacklevel_of_user(),
            )

    def add(self, epoch: int, table: InformationTable, weights: str, measures: tuple[MeasureRow, ...]) -> None:
        """Add the results of an epoch."""
        self.tables[epoch], self.weights[epoch], self.measures[epoch] = table, weights, measures
        self.left_out.discard(epoch)

    def write(self) -> None:
        """Write all results, if this process writes.

        Raises
        ------
        UsageError
            Another monitor has written to information.csv.
        """
        if not self.writes:
            return
        path = self.folder / INFORMATION_FILE
        if file_stamp(path) not in (None, self._stamp):
            raise UsageError(f"{path}: another monitor has written to it; give each monitor its own folder")
        self.write_settings()
        if any(self.measures.values()):
            write_measures(self.folder / MEASURES_FILE, self.measures)
        # The table is written last, so that its rows always have the hash of their weights.
        if self.tables or path.exists():
            write_information(path, self.tables)
        self._stamp = file_stamp(path)

    def write_settings(self) -> None:
        """Write the settings, hashes of the weights and rows of each epoch, and the epochs that were left out."""
        if not self.writes:
            return
        left_out = {LEFT_OUT: sorted(self.left_out)} if self.left_out else {}
        environments = {ENVIRONMENTS: environments_of(self.tables)} if self.tables else {}
        weights = {str(epoch): self.weights[epoch] for epoch in sorted(self.weights)}
        rows = {str(epoch): table_hash(self.tables[epoch]) for epoch in sorted(self.tables)}
        measured = {str(epoch): rows_hash(self.measures[epoch]) for epoch in sorted(self.measures)}
        measures = {MEASURE_ROWS: measured} if any(self.measures.values()) else {}
        content = {**self.settings, **left_out, **environments, WEIGHTS: weights, ROWS: rows, **measures}
        write_json(self.folder / SETTINGS_FILE, content, checksum=True)

    def state(self) -> dict[str, Any]:
        """Return all results as dicts, lists, tuples, strings and numbers."""
        return {
            "settings": dict(self.settings),
            "tables": {epoch: list(map(dataclasses.asdict, table)) for epoch, table in self.tables.items()},
            "provenance": {epoch: dict(table.provenance) for epoch, table in self.tables.items()},
            WEIGHTS: dict(self.weights),
            "measures": {epoch: list(map(tuple, rows)) for epoch, rows in self.measures.items()},
            LEFT_OUT: sorted(self.left_out),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Replace all results by those of a state, which JSON may have stored: epochs are then text, and tuples lists.

        Raises
        ------
        UsageError
            The state was measured with other settings.
        """
        self._check_settings(state["settings"], "the state", "make the monitor with the same settings")
        limits, provenance = self.settings[LIMITS], state.get("provenance", {})
        self.tables = {
            int(epoch): InformationTable(tuple(map(_row, rows)), limits, provenance.get(epoch, {}))
            for epoch, rows in state["tables"].items()
        }
        self.weights = {int(epoch): weights for epoch, weights in state[WEIGHTS].items()}
        self.measures = {
            int(epoch): tuple(itertools.starmap(MeasureRow, rows)) for epoch, rows in state["measures"].items()
        }
        self.left_out = set(state[LEFT_OUT])

    @staticmethod
    def _check_rows(path: Path, tables: Mapping[int, InformationTable], row_keys: Collection[tuple[str, str]]) -> None:
        for number, row in enumerate(itertools.chain.from_iterable(tables.values()), start=1):
            if (row.layer, row.quantity) not in row_keys:
                wanted = f"one of {listed(f'{layer} with {quantity}' for layer, quantity in row_keys)}"
                raise damaged_cell(path, number, "layer and quantity", f"{row.layer} with {row.quantity}", wanted)

    def _check_settings(self, earlier: Mapping[str, Any], source: str, remedy: str) -> None:
        if earlier.get("labels") == _NO_LABELS:
            earlier = {**earlier, "labels": ""}
        for name, value in self.settings.items():
            if name not in earlier or earlier[name] != value:
                got = repr(earlier[name]) if name in earlier else "none" if name == "measures" else "unknown settings"
                if name in earlier and name in _HASHED:
                    raise UsageError(f"{name}: {source} was measured with {_HASHED[name]}; {remedy}")
                message = f"{name}: {source} was measured with {got}, wanted {value!r}; {remedy}"
                raise UsageError(_HASH.sub(_shortened, message))


def check_state(state: object, own: Mapping[str, Any]) -> None:
    """Raise a ValueError unless a state has the entries of a monitor's own state, with values of the same kinds."""
    if not isinstance(state, Mapping):
        raise ValueError(f"state: got {type(state).__name__}, wanted the result of state_dict()")
    for name, value in own.items():
        kind = Mapping if isinstance(value, Mapping) else Sequence if isinstance(value, Sequence) else type(value)
        if not isinstance(state.get(name), kind):
            got = type(state[name]).__name__ if name in state else "none"
            raise ValueError(f"state: got {got} as the entry {name!r}, wanted the result of state_dict()")


def _row(fields: Mapping[str, Any]) -> InformationRow:
    return InformationRow(**{**fields, "flags": tuple(fields["flags"])})


def _shortened(digits: re.Match[str]) -> str:
    return f"{digits[0][:_SHOWN_DIGITS]}..."
