"""Find runs of one training with different seeds."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from layerbits.report.record import RunRecord

# The part of a name that contains the seed, such as -seed3 or seed=3.
_SEED = re.compile(r"[-_., ]?seeds?[-_= ]?\d+", re.IGNORECASE)
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

    Runs of an experiment must have equal settings. A `Monitor` knows no settings of a training: its folders must have
    equal names apart from the word ``seed`` and a number, as in ``mine-seed0``, and equal settings of measurements.
    """
    groups: dict[str, dict[object, int]] = {}
    for position, (name, record) in enumerate(zip(names, records, strict=True)):
        key, seed = _key_and_seed(name, record)
        if seed is None or seed in groups.get(key, {}):  # the same seed twice is a copy
            key = f"alone {position}"
        groups.setdefault(key, {})[seed] = position
    return [
        (_group_name(names, records, list(positions.values())), list(positions.values()))
        for positions in groups.values()
    ]


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
