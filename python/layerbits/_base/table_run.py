"""The run that a table belongs to, from the experiment and the settings in run.json."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from layerbits._base.regular_files import read_regular

RUN_RECORD = "run.json"
RECORD_LIMIT = 2**26  # bytes
NO_RUN = "none"


def table_run(path: Path) -> str:
    """Return a hash of the run of a table and of the table's path in the folder of the run, or `NO_RUN`.

    The record of the run is beside the table, or in the folder above: a variant has a folder in the folder of its run.
    """
    path = Path(os.path.abspath(path))
    for folder in path.parents[:2]:
        try:
            record = json.loads(read_regular(folder / RUN_RECORD, limit=RECORD_LIMIT))
            settings = [record["experiment"], record["configuration"], path.relative_to(folder).as_posix()]
        except (OSError, ValueError, RecursionError, KeyError, TypeError):  # no record, or a file of another program
            continue
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return NO_RUN
