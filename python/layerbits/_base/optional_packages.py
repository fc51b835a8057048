"""Packages that only some functions need: a check with a clear message, and conversions by pandas and xarray."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from layerbits._base.errors import UsageError

if TYPE_CHECKING:
    import pandas
    import xarray


def require_package(package: str, *, extra: str, purpose: str) -> None:
    """Check that an optional package is installed.

    Parameters
    ----------
    package : str
        Name of the package to import.
    extra : str
        The extra of layerbits that installs it.
    purpose : str
        Plural noun for the message: the things that need the package.

    Raises
    ------
    UsageError
        The package is missing.
    """
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"{package}: not installed, and {purpose} need it; pip install 'layerbits[{extra}]'")


def data_frame(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> pandas.DataFrame:
    """Return a data frame of rows; raise a UsageError if pandas is missing."""
    require_package("pandas", extra="frames", purpose="data frames")
    import pandas

    return pandas.DataFrame(rows, columns=list(columns))


def data_set(frame: pandas.DataFrame, dimensions: Sequence[str]) -> xarray.Dataset:
    """Return the columns of a frame as arrays over `dimensions`, in the order of the rows; NaN where there is no row.

    Flags, if there are any, are joined by spaces, as in information.csv, because netCDF has no tuples.

    Raises
    ------
    UsageError
        xarray is missing.
    """
    require_package("xarray", extra="frames", purpose="data sets")
    coordinates = {name: frame[name].unique() for name in dimensions}  # xarray would sort them
    if "flags" in frame:
        frame = frame.assign(flags=frame["flags"].map(" ".join))
    data: xarray.Dataset = frame.set_index(list(dimensions)).to_xarray()
    return data.reindex(coordinates)
