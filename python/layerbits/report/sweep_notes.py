"""Notes on the runs of a sweep that have failed or have not ended."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from layerbits._base import RUN_RECORD, UsageError, read_json
from layerbits.experiments import SWEEP_RECORD


def notes_on_sweeps(directories: Iterable[Path]) -> list[str]:
    """Return the notes for the folders that are sweeps, from their `SWEEP_RECORD`."""
    notes: list[str] = []
    for directory in directories:
        record = _record(directory / SWEEP_RECORD)
        n_finished = sum(_record(path).get("status") == "finished" for path in directory.glob(f"*/{RUN_RECORD}"))
        n_cells, failures = record.get("cells", n_finished), record.get("failures")
        if n_cells != n_finished:
            notes.append(f"{n_finished} of {n_cells} runs of the sweep have finished; --resume continues it")
        notes += [f"{name} {reason}" for name, reason in (failures.items() if isinstance(failures, dict) else ())]
    return notes


def _record(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, UsageError):
        return {}
