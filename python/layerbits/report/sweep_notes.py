"""Names of the runs of sweeps, and notes on those that have failed or have not ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerbits._base import RUN_RECORD, UsageError, read_json
from layerbits.experiments import SWEEP_RECORD
from layerbits.report.charts import CopiedRun
from layerbits.report.record import as_text


def named_by_settings(runs: Sequence[CopiedRun]) -> tuple[list[CopiedRun], str]:
    """Name the runs of a sweep by the settings in which they differ, and return a sentence on their common settings.

    Runs of several sweeps, of none, and copies of runs keep their names.
    """
    directories = {run.folder.resolve().parent for run in runs}
    settings = _record(directories.pop() / SWEEP_RECORD).get("settings") if len(directories) == 1 else None
    if not isinstance(settings, list) or len(runs) == 1:
        return list(runs), ""
    configurations = [run.record.content["configuration"] for run in runs]
    names = sorted((name for name in configurations[0] if name in settings), key=settings.index)
    different = [name for name in names if len({json.dumps(values.get(name)) for values in configurations}) > 1]
    common = [name for name in names if name not in different]
    texts = [_settings_text(different, configuration) for configuration in configurations]
    if len(set(texts)) < len(runs):
        return list(runs), ""
    named = [run._replace(name=text) for run, text in zip(runs, texts, strict=True)]
    return named, f"All runs have {_settings_text(common, configurations[0])}." if common else ""


def _settings_text(names: Iterable[str], configuration: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={as_text(configuration.get(name))}" for name in names)


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
