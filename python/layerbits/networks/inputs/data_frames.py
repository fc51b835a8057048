"""The values of data frames and series of pandas, polars and others as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from layerbits.networks.inputs.tensor_checks import leaves_of

# Method of data frames and series of pandas, polars and others.
_TO_NUMPY = "to_numpy"

# Types of columns of categories, in lower case.
_CATEGORICAL = ("category", "categorical", "enum")


def is_frame(inputs: object) -> bool:
    """Return whether inputs are a data frame or a series."""
    # A DataArray of xarray has axes, not columns. A data frame may have a column of any name as an attribute.
    kind = type(inputs)
    return hasattr(kind, _TO_NUMPY) and not hasattr(kind, "dims") and not isinstance(inputs, Tensor | np.ndarray)


def frame_values(frame: Any) -> npt.NDArray[Any]:
    """Return the numbers of a data frame, (n, columns), or of a series, (n,); columns share the smallest common dtype.

    Raises
    ------
    TypeError
        A column holds categories, or values that are neither numbers nor booleans.
    ValueError
        A column has missing or infinite values or NaN, or there is no column.
    """
    if not hasattr(frame, "columns"):
        return _column_values(getattr(frame, "name", None), frame)
    columns = [_column_values(name, column) for name, column in _columns(frame)]
    if not columns:
        raise ValueError("inputs: got a data frame without columns, wanted at least one")
    return np.stack(columns, axis=1)


def row_indices(name: str, values: object) -> list[Any]:
    """Return the indices of the pandas objects in the nested argument `name`, in their order; raise as `leaves_of`."""
    return [leaf.index for leaf in leaves_of(name, values) if _has_index(leaf)]


def _has_index(value: Any) -> bool:
    return is_frame(value) and hasattr(getattr(value, "index", None), "equals")


def _columns(frame: Any) -> Iterator[tuple[object, Any]]:
    """Yield the names and the columns of a data frame; names may repeat."""
    for position, name in enumerate(frame.columns):
        yield name, frame.iloc[:, position] if hasattr(frame, "iloc") else frame[name]


def _column_values(name: object, column: Any) -> npt.NDArray[Any]:
    dtype = getattr(column, "dtype", None)
    n_missing = _n_missing(column)
    if str(dtype).partition("(")[0].lower() in _CATEGORICAL:
        raise TypeError(
            f"inputs: got column {name!r} of categories, wanted numbers; pass one-hot columns, such as those of "
            f"pandas.get_dummies, or the codes of an embedding, frame[{name!r}].cat.codes"
        )
    if n_missing:
        raise ValueError(
            f"inputs: got column {name!r} with missing values in {n_missing} of {len(column)} rows, wanted numbers; "
            "leave those rows out, or fill them"
        )
    # Nullable columns of pandas become arrays of objects unless the dtype is named.
    numpy_dtype = getattr(dtype, "numpy_dtype", None)
    values = np.asarray(column.to_numpy() if numpy_dtype is None else column.to_numpy(dtype=numpy_dtype))
    if values.dtype.kind not in "fiub" or values.ndim != 1:
        raise TypeError(
            f"inputs: got column {name!r} of {dtype}, wanted numbers or booleans; convert the column, or leave it out"
        )
    if not np.isfinite(values).all():
        fault = "NaN" if np.isnan(values).any() else "infinite values"
        raise ValueError(f"inputs: got column {name!r} with {fault}, wanted finite numbers; leave those rows out")
    return values


def _n_missing(column: Any) -> int:
    """Return the number of missing values; in pandas these are NaN, None and NA, in polars null alone."""
    if hasattr(column, "isna"):
        return int(column.isna().sum())
    return int(column.null_count()) if hasattr(column, "null_count") else 0
