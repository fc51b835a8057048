"""`InformationHistory`: the tables of several epochs of one training, and intervals for changes between epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from layerbits._base.information_table import COLUMNS, InformationTable, html_rows
from layerbits._base.notebook_tables import html_table
from layerbits._base.optional_packages import data_frame, data_set
from layerbits._base.results import Estimate, InformationRow
from layerbits._base.validation import check_count, check_real, check_type, counted, listed

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class InformationHistory:
    """Information per layer at several epochs, as `Monitor.history` and `read_history` return it.

    ``history[epoch]`` is the table of an epoch, and ``len(history)`` the number of epochs.

    Parameters
    ----------
    tables : mapping of int to InformationTable
        The table of each measured epoch.
    confidence : float
        Level of each interval, or if `simultaneous` of all intervals together.
    simultaneous : bool
        Whether all intervals of all epochs hold together.

    Raises
    ------
    TypeError, ValueError
        A parameter has a wrong type, or an epoch is negative.

    Examples
    --------
    >>> import tempfile, torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> settings = lb.MeasurementSettings(simultaneous=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     options = {"at": [0, 1], "directory": folder, "sigma": 0.5, "settings": settings}
    ...     monitor = lb.Monitor(model, torch.eye(2), **options)
    ...     for epoch in range(2):  # train here
    ...         _ = monitor.step(epoch)
    >>> change = monitor.history.change("1", "I(X;T)", first=0, last=1)
    >>> change.lower <= 0 <= change.upper  # the weights did not change
    True
    """

    tables: Mapping[int, InformationTable]
    confidence: float
    simultaneous: bool

    def __post_init__(self) -> None:
        check_type("tables", self.tables, Mapping, wanted="a mapping of epochs to tables")
        for epoch, table in self.tables.items():
            check_count("tables", epoch, minimum=0)
            check_type("tables", table, InformationTable, wanted="tables, such as those of layer_information")
        check_real("confidence", self.confidence, wanted="a number")  # NaN: the settings are missing
        check_type("simultaneous", self.simultaneous, bool, wanted="True or False")
        object.__setattr__(self, "tables", {epoch: self.tables[epoch] for epoch in sorted(self.tables)})

    def __len__(self) -> int:
        return len(self.tables)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the measured epochs, as over the keys of a mapping."""
        return iter(self.tables)

    def __contains__(self, epoch: object) -> bool:
        return epoch in self.tables

    def __getitem__(self, epoch: int) -> InformationTable:
        """Return the table of an epoch; a KeyError lists the epochs of the history."""
        if epoch not in self.tables:
            raise KeyError(f"no epoch {epoch!r}; the history has {listed(map(str, self.tables)) or 'none'}")
        return self.tables[epoch]

    @property
    def epochs(self) -> tuple[int, ...]:
        """The measured epochs, ascending."""
        return tuple(self.tables)

    @property
    def rows(self) -> tuple[tuple[int, InformationRow], ...]:
        """Every row with its epoch: the rows of information.csv."""
        return tuple((epoch, row) for epoch, table in self.tables.items() for row in table)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers and readouts, in the order of the tables."""
        return tuple(dict.fromkeys(row.layer for _, row in self.rows))

    @property
    def limits(self) -> Mapping[str, float]:
        """Largest possible value of each information, as in `InformationTable`."""
        return next(iter(self.tables.values())).limits if self.tables else {}

    @property
    def bits(self) -> InformationHistory:
        """The history in bits."""
        return dataclasses.replace(self, tables={epoch: table.bits for epoch, table in self.tables.items()})

    def change(self, layer: str, quantity: str, first: int, last: int) -> Estimate:
        """Return the change of a quantity of a layer from one epoch to another, with an interval.

        Parameters
        ----------
        layer, quantity : str
            The row, as in ``table[layer, quantity]``.
        first, last : int
            Two measured epochs, in any order: the change is the quantity at `last` less that at `first`.

        Returns
        -------
        Estimate
            In the unit of the rows. All changes of all layers and quantities, between any two epochs, lie in their
            intervals together, with the probability `confidence` of the history. An upper end below 0 shows a decrease.
            `standard_error` is the sum of the two standard errors, `draws` the smaller number of passes, and `flags`
            are the flags of both rows.

        Raises
        ------
        KeyError
            The history has no such epoch, layer or quantity.
        ValueError
            The intervals of the history do not hold together.

        Notes
        -----
        Both ends come from ends of two intervals, so both intervals must hold. Epochs, layers and quantities are often
        chosen by the results, such as the epochs of the largest and of the least information. So it is not enough that
        each interval holds by itself, not even at twice the risk: all intervals must hold together.
        """
        if not self.simultaneous:
            raise ValueError(
                "simultaneous: got a history of intervals that hold one by one, wanted True, because an interval for a "
                "change needs two that hold together; measure with MeasurementSettings(simultaneous=True)"
            )
        start, end = self[first][layer, quantity], self[last][layer, quantity]
        return Estimate(
            value=end.value - start.value,
            standard_error=start.standard_error + end.standard_error,
            lower=end.lower - start.upper,
            upper=end.upper - start.lower,
            confidence=self.confidence,
            draws=min(start.draws, end.draws),
            unit=start.unit,
            flags=tuple(dict.fromkeys((*start.flags, *end.flags))),
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with the epoch and each field of a row as columns.

        Raises
        ------
        UsageError
            pandas is not installed; it is in the extra `frames`.
        """
        rows = [{"epoch": epoch, **dataclasses.asdict(row)} for epoch, row in self.rows]
        return data_frame(rows, ["epoch", *COLUMNS])

    def to_xarray(self) -> xarray.Dataset:
        """Return an `xarray.Dataset` over epoch, layer and quantity.

        Raises
        ------
        UsageError
            xarray is not installed; it is in the extra `frames`.
        """
        return data_set(self.to_pandas(), ("epoch", "layer", "quantity"))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot I(X;T) of each layer over the epochs, by `layerbits.plots.curves`."""
        from layerbits.plots import curves  # imported here: plots imports _base

        return curves(self, ax=ax)

    def _repr_html_(self) -> str:
        """Return the tables of the first and of the last epoch."""
        shown = dict.fromkeys((*self.epochs[:1], *self.epochs[-1:]))
        rows = [row for epoch in shown for row in html_rows(self.tables[epoch], str(epoch))]
        others = "; the first and the last" if len(self) > len(shown) else ""
        return f"{counted(len(self), 'epoch')}{others}{html_table(('epoch', 'layer', 'quantity'), rows)}"

    def __repr__(self) -> str:
        return f"InformationHistory(epochs={self.epochs}, layers={self.layers})"
