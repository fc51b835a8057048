"""Find runs of one training with different seeds."""

from __future__ import annotations

import json
import math
import os
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from layerbits.report.record import RunRecord

SEEDS_COLUMNS = ("runs", "number", "seeds", "mean", "standard deviation", "least", "median", "largest")

# Sums over other batches or threads differ by less than this share of a value.
_ROUNDING = 1e-9

# The part of a name that contains the seed, such as -seed3 or seed=3.
_SEED = re.compile(r"(?:, |[-_., ])?seeds?[-_= ]?\d+", re.IGNORECASE)
# Keys of information.json that may differ between such runs: seed, hashes of data that depend on it, left-out epochs.
_MAY_DIFFER = ("seed", "inputs", "labels", "arguments", "left_out")


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return the name of each folder: its path from the folder that contains all, or the last part of its path."""
    paths = [folder.resolve() for folder in folders]
    if len(paths) == 1:
        return [paths[0].name]
    common = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix() for path in paths]


def seed_groups(names: Sequence[str], records: Sequence[RunRecord]) -> list[tuple[str, list[int]]]:
    """Return the name and the positions of each group of runs that differ in the seed alone; a run may be alone.

    Runs of an experiment must have equal settings. A `Monitor` does not record the settings of a training: its folders
    must have equal names apart from the word ``seed`` and a number, as in ``mine-seed0``, and equal settings of
    measurements.
    Runs that have not finished are alone if others of their group have finished.
    """
    groups: dict[str, dict[object, int]] = {}
    for position, (name, record) in enumerate(zip(names, records, strict=True)):
        key, seed = _key_and_seed(name, record)
        if seed is None or seed in groups.get(key, {}):  # the same seed twice is a copy
            key = f"alone {position}"
        groups.setdefault(key, {})[seed] = position
    parts = [part for positions in groups.values() for part in _finished_apart(list(positions.values()), records)]
    return [(_group_name(names, records, positions), positions) for positions in parts]


def over_seeds_table(groups: Iterable[tuple[str, list[int]]], records: Sequence[RunRecord]) -> list[tuple[object, ...]]:
    """Return a row for each group of several runs and number of their summaries, with the columns `SEEDS_COLUMNS`.

    Values that are not finite, such as the correlation of constants, are left out. A standard deviation that rounding
    explains is 0.
    """
    rows: list[tuple[object, ...]] = []
    for name, positions in groups:
        summaries = [records[position].content["summary"] for position in positions]
        for key in dict.fromkeys(key for summary in summaries for key in summary):
            numbers = [summary[key] for summary in summaries if isinstance(summary.get(key), int | float)]
            values = list(filter(math.isfinite, numbers))  # statistics.stdev fails with NaN
            if len(values) > 1:
                deviation = statistics.stdev(values)
                if deviation < _ROUNDING * max(map(abs, values)):
                    deviation = 0.0
                spread = statistics.mean(values), deviation, min(values), statistics.median(values), max(values)
                rows.append((name, key.replace("_", " "), len(values), *spread))
    return rows


def _finished_apart(positions: list[int], records: Sequence[RunRecord]) -> list[list[int]]:
    """Leave unfinished runs alone if others have finished, because a band ends at the last epoch that all runs have."""
    finished = [position for position in positions if records[position].content["status"] == "finished"]
    if not finished:
        return [positions]
    return [finished, *([position] for position in positions if position not in finished)]


def _key_and_seed(name: str, record: RunRecord) -> tuple[str, object]:
    """Return a text that runs of one group share, and the seed, None for a run that is in no group."""
    settings = {key: value for key, value in record.content["configuration"].items() if key not in _MAY_DIFFER}
    if record.experiment is not None:
        return json.dumps([record.experiment.name, settings], sort_keys=True), record.config.seed
    seed = _SEED.search(name)
    return json.dumps([_SEED.sub("", name), settings], sort_keys=True), seed and seed.group()


def _group_name(names: Sequence[str], records: Sequence[RunRecord], positions: Sequence[int]) -> str:
    first = positions[0]
    if len(positions) == 1:
        return names[first]
    stem = _SEED.sub("", names[first]).strip("-_., /") or records[first].content["experiment"]
    return f"{stem}, {len(positions)} seeds"
