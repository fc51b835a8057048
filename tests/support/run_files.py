"""The files, the status and the tables of a run."""

import csv
import json


def file_contents(path):
    """Return the bytes of all files below a folder, by relative path."""
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def run_status(path):
    return json.loads((path / "run.json").read_text())["status"]


def run_tables(path):
    """Return the rows of training.csv and information.csv without the seconds."""
    tables = {}
    for name in ("training.csv", "information.csv"):
        with (path / name).open(newline="") as file:
            tables[name] = [{**row, "seconds": None} for row in csv.DictReader(file)]
    return tables
