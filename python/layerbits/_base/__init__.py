"""Errors, results, validation of options, files and progress bars; imports nothing else of layerbits."""

from layerbits._base.errors import (
    BackendError,
    DataError,
    LayerbitsError,
    LayerSelectionError,
    NoNoiseError,
    UsageError,
)
from layerbits._base.files import DRAFT_PREFIX, damaged, read_csv, read_json, replacing, write_csv, write_json
from layerbits._base.progress_bar import bar, progress
from layerbits._base.results import COLUMNS, Estimate, InformationRow, InformationTable
from layerbits._base.types import Array, Doubles, Integers
from layerbits._base.validation import check_confidence, check_count, check_positive

__all__ = [
    "COLUMNS",
    "DRAFT_PREFIX",
    "Array",
    "BackendError",
    "DataError",
    "Doubles",
    "Estimate",
    "InformationRow",
    "InformationTable",
    "Integers",
    "LayerSelectionError",
    "LayerbitsError",
    "NoNoiseError",
    "UsageError",
    "bar",
    "check_confidence",
    "check_count",
    "check_positive",
    "damaged",
    "progress",
    "read_csv",
    "read_json",
    "replacing",
    "write_csv",
    "write_json",
]
