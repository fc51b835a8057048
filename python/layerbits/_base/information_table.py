"""`InformationTable`: the information of every layer in one measurement."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, overload

from layerbits._base.notebook_tables import HtmlRow, html_table
from layerbits._base.optional_packages import data_frame, data_set
from layerbits._base.results import InformationRow, html_row, row_text
from layerbits._base.validation import check_type, listed

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

COLUMNS = [field.name for field in dataclasses.fields(InformationRow)]


@dataclasses.dataclass(frozen=True, repr=False)
class InformationTable:
    """Information per layer: a row for each (layer, quantity), in the order in which data passes the layers.

    Attributes
    ----------
    rows : tuple of InformationRow
        The rows.
    limits : mapping of str to float
        Largest possible value of an information by its symbol, in the unit of the rows: log N for ``"I(X;T)"``, the
        entropy of the labels for ``"I(T;Y)"``. Empty if unknown. Equal rows make equal tables, whatever the limits.
    provenance : mapping of str to object
        Where the numbers come from: versions, threads, instruction sets, device, seed, and SHA-256 hashes of the
        weights with the noise, of the inputs and of the labels, or of the signals, their noise and the labels; not the
        options of the call. Empty if unknown.

    Examples
    --------
    >>> import torch, layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> table = lb.layer_information(model, torch.eye(2), sigma=0.5)
    >>> table
    InformationTable(layers=('1',), rows=3)
    >>> float(table["1", "I(X;T)"]) <= table.limits["I(X;T)"]
    True
    >>> list(table.scalars("train"))[:3]
    ['train/1/I_XT', 'train/1/I_XT_lower', 'train/1/I_XT_upper']
    """

    rows: tuple[InformationRow, ...]
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict, compare=False)
    provenance: Mapping[str, object] = dataclasses.field(default_factory=dict, compare=False)

    def __iter__(self) -> Iterator[InformationRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, key: tuple[str, str]) -> InformationRow: ...
    @overload
    def __getitem__(self, key: str) -> InformationTable: ...
    def __getitem__(self, key: tuple[str, str] | str) -> InformationRow | InformationTable:
        """Return the row of ``(layer, quantity)``, or the table of a layer; a KeyError lists the possible keys."""
        if isinstance(key, str):
            rows = tuple(row for row in self.rows if row.layer == key)
            if not rows:
                raise KeyError(f"no layer {key!r}; the table has {listed(map(repr, self.layers)) or 'none'}")
            return InformationTable(rows, self.limits, self.provenance)
        for row in self.rows:
            if (row.layer, row.quantity) == key:
                return row
        layers, quantities = (listed(map(repr, names)) or "none" for names in (self.layers, self.quantities))
        raise KeyError(f"no row {key!r}, wanted (layer, quantity); layers: {layers}; quantities: {quantities}")

    def __contains__(self, key: object) -> bool:
        """Return whether the table has a layer, a ``(layer, quantity)``, or a row."""
        return key in self.layers or any(key in ((row.layer, row.quantity), row) for row in self.rows)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers and readouts, in the order of the rows."""
        return tuple(dict.fromkeys(row.layer for row in self.rows))

    @property
    def quantities(self) -> tuple[str, ...]:
        """The symbols of the quantities, in the order of the rows."""
        return tuple(dict.fromkeys(row.quantity for row in self.rows))

    @property
    def bits(self) -> InformationTable:
        """The table in bits."""
        if {row.unit for row in self.rows} == {"bits"}:
            return self
        limits = {name: limit / math.log(2) for name, limit in self.limits.items()}
        return InformationTable(tuple(row.bits for row in self.rows), limits, self.provenance)

    def scalars(self, prefix: str = "information") -> dict[str, float]:
        """Return values and ends by flat names, which loggers of experiments take.

        Parameters
        ----------
        prefix : str
            First part of each name; with an empty text the names begin with the layer.

        Returns
        -------
        dict of str to float
            ``"information/fc1/I_XT"`` with the value of I(X;T) of layer ``fc1``, ``".../I_XT_lower"`` and
            ``".../I_XT_upper"`` with its ends; ``I_XT_given_Y`` for I(X;T|Y), ``h_T`` for h(T). Characters other than
            letters, digits, ``_``, ``-``, ``.`` and ``/`` become ``_``.

        Raises
        ------
        TypeError
            `prefix` is no text.
        ValueError
            Two rows have the same name.
        """
        check_type("prefix", prefix, str, wanted="text")
        scalars: dict[str, float] = {}
        for row in self.rows:
            name = flat_name(prefix, row.layer, _symbol(row.quantity))
            if name in scalars:
                raise ValueError(f"layers: got two rows with the flat name {name!r}, wanted distinct; rename a layer")
            scalars |= {name: row.value, f"{name}_lower": row.lower, f"{name}_upper": row.upper}
        return scalars

    def to_pandas(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with a column for each field of a row.

        Raises
        ------
        UsageError
            pandas is not installed; it is in the extra `frames`.
        """
        return data_frame([dataclasses.asdict(row) for row in self.rows], COLUMNS)

    def to_xarray(self) -> xarray.Dataset:
        """Return an `xarray.Dataset` with a variable for each other field of a row, over layer and quantity.

        Flags are joined by spaces.

        Raises
        ------
        UsageError
            xarray is not installed; it is in the extra `frames`.
        """
        return data_set(self.to_pandas(), ("layer", "quantity"))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot every information with its interval, by `layerbits.plots.intervals`."""
        from layerbits.plots import intervals  # imported here: plots imports _base

        return intervals(self, ax=ax)

    def _repr_html_(self) -> str:
        return html_table(("layer", "quantity"), html_rows(self))

    def __repr__(self) -> str:
        return f"InformationTable(layers={self.layers}, rows={len(self.rows)})"

    def __str__(self) -> str:
        width = max((len(row.layer) for row in self.rows), default=0)
        symbols = max((8, *(len(row.quantity) for row in self.rows)))
        return "\n".join(f"{row.layer:<{width}}  {row_text(row, symbols)}" for row in self.rows)


def html_rows(table: InformationTable, *texts: str) -> Sequence[HtmlRow]:
    """Return the rows of an HTML table; each begins with `texts`, layer and quantity."""
    return [html_row(row, *texts, limit=table.limits.get(row.quantity, math.nan)) for row in table]


def _symbol(quantity: str) -> str:
    """Return I_XT_given_Y for I(X;T|Y)."""
    return quantity.replace("(", "_").replace(")", "").replace(";", "").replace("|", "_given_")


def flat_name(*parts: str) -> str:
    """Return the name of a number in a logger; characters that some loggers refuse become ``_``."""
    names = (re.sub(r"[^A-Za-z0-9_./-]", "_", part).strip("/") for part in parts)
    return "/".join(filter(None, names))
