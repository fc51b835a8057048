"""Errors, results, array types, checks of options, files and progress bars.

The package imports no other package of layerbits.
"""

from layerbits._base.checksums import (
    OtherRunError,
    checksum_path,
    is_verified,
    write_checksum,
)
from layerbits._base.earlier_names import missing_attribute, refuse_earlier_parameters
from layerbits._base.errors import (
    BackendError,
    DataError,
    GroupError,
    LayerbitsError,
    LayerSelectionError,
    NoNoiseError,
    UsageError,
)
from layerbits._base.files import DRAFT_PREFIX, file_stamp, replacing
from layerbits._base.folder_lock import LOCK_FILE, FolderLock
from layerbits._base.information_history import InformationHistory
from layerbits._base.information_table import COLUMNS, InformationTable, flat_name
from layerbits._base.installed_versions import installed_version
from layerbits._base.log_sums import log_add_exp, log_sum_exp
from layerbits._base.notebook_tables import fixed, flags_in_words, html_histogram, html_table, html_text_table
from layerbits._base.optional_packages import data_frame, data_set, require_package
from layerbits._base.progress_bars import progress, progress_bar, show_text
from layerbits._base.regular_files import open_regular, read_regular
from layerbits._base.results import (
    BEFORE_ROUNDING,
    MASKED,
    MEASUREMENT_NOISE,
    OTHER_OUTPUT,
    TAIL_ASSUMED,
    TAIL_SENTENCE,
    Estimate,
    InformationRow,
    Result,
    html_row,
)
from layerbits._base.table_run import RUN_RECORD
from layerbits._base.tables import damaged_cell, damaged_file, parse_csv, read_csv, read_json, write_csv, write_json
from layerbits._base.tensors_without_values import has_no_values
from layerbits._base.types import Array, Doubles, Integers
from layerbits._base.user_line import stacklevel_of_user
from layerbits._base.validation import (
    check_confidence,
    check_count,
    check_fraction,
    check_number,
    check_path,
    check_positive,
    check_real,
    check_type,
    check_vector,
    counted,
    listed,
    refuse_sparse,
    shape_of,
    shown,
    shown_path,
    shown_repr,
)

__all__ = [
    "BEFORE_ROUNDING",
    "COLUMNS",
    "DRAFT_PREFIX",
    "LOCK_FILE",
    "MASKED",
    "MEASUREMENT_NOISE",
    "OTHER_OUTPUT",
    "RUN_RECORD",
    "TAIL_ASSUMED",
    "TAIL_SENTENCE",
    "Array",
    "BackendError",
    "DataError",
    "Doubles",
    "Estimate",
    "FolderLock",
    "GroupError",
    "InformationHistory",
    "InformationRow",
    "InformationTable",
    "Integers",
    "LayerSelectionError",
    "LayerbitsError",
    "NoNoiseError",
    "OtherRunError",
    "Result",
    "UsageError",
    "check_confidence",
    "check_count",
    "check_fraction",
    "check_number",
    "check_path",
    "check_positive",
    "check_real",
    "check_type",
    "check_vector",
    "checksum_path",
    "counted",
    "damaged_cell",
    "damaged_file",
    "data_frame",
    "data_set",
    "file_stamp",
    "fixed",
    "flags_in_words",
    "flat_name",
    "has_no_values",
    "html_histogram",
    "html_row",
    "html_table",
    "html_text_table",
    "installed_version",
    "is_verified",
    "listed",
    "log_add_exp",
    "log_sum_exp",
    "missing_attribute",
    "open_regular",
    "parse_csv",
    "progress",
    "progress_bar",
    "read_csv",
    "read_json",
    "read_regular",
    "refuse_earlier_parameters",
    "refuse_sparse",
    "replacing",
    "require_package",
    "shape_of",
    "show_text",
    "shown",
    "shown_path",
    "shown_repr",
    "stacklevel_of_user",
    "write_checksum",
    "write_csv",
    "write_json",
]
