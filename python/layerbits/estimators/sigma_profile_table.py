"""The result of `sigma_profile`: rows by layer, sigma and quantity."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from layerbits._base import Result, data_frame, data_set, fixed, html_row, html_table

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SigmaRow(Result):
    """A quantity of a layer at one sigma.

    Attributes
    ----------
    layer : str
        Name of the layer; empty if there is a single, unnamed layer.
    sigma : float
        Standard deviation of the noise.
    quantity : str
        ``"I(X;T)"``, ``"I(T;Y)"`` or ``"I(X;T|Y)"``.
    value, standard_error : float
        Point estimate, which lies in the interval, and its standard error, in `unit`. If the interval is wider than 0.5
        nats, the value is its midpoint, and the standard error is NaN.
    lower, upper : float
        Confidence interval, in `unit`.
    unit : str
        ``"nats"`` or ``"bits"``.
    note : str
        Notes of the audits, in words; empty if there are none.
    flags : tuple of str
        The notes: ``"saturated"``, as in `InformationRow`; ``"below_larger_sigma"``: the information is smaller than at
        a larger sigma, which theory rules out.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> row, = lb.sigma_profile(torch.tensor([[-1.0], [1.0]]), sigmas=[0.5])
    >>> row.sigma, row.quantity, row.lower <= 0.63272 <= row.upper
    (0.5, 'I(X;T)', True)
    """

    layer: str
    sigma: float
    quantity: str
    value: float
    standard_error: float
    lower: float
    upper: float
    unit: str = "nats"
    note: str = ""
    flags: tuple[str, ...] = ()

    printed_fields: ClassVar[tuple[str, ...]] = ("layer", "sigma", "quantity", *Result.printed_fields)


@dataclasses.dataclass(frozen=True, repr=False)
class SigmaProfile:
    """The rows of `sigma_profile`: by layer, then by sigma in the order of the argument, then by quantity.

    `limits` is the largest possible value of each information, as in `InformationTable`; empty if layers have different
    numbers of inputs. Equal rows make equal profiles, whatever the limits.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> lb.sigma_profile(model, torch.eye(2), sigmas=[0.1, 1.0]).bits
    SigmaProfile(layers=('1',), sigmas=(0.1, 1.0))
    """

    rows: tuple[SigmaRow, ...]
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict, compare=False)

    def __iter__(self) -> Iterator[SigmaRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bits(self) -> SigmaProfile:
        """The same profile in bits."""
        if {row.unit for row in self.rows} == {"bits"}:
            return self
        limits = {name: limit / math.log(2) for name, limit in self.limits.items()}
        return SigmaProfile(tuple(row.bits for row in self.rows), limits)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers, in the order of the rows."""
        return tuple(dict.fromkeys(row.layer for row in self.rows))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with a column for each field of a row.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        columns = [field.name for field in dataclasses.fields(SigmaRow)]
        return data_frame([dataclasses.asdict(row) for row in self.rows], columns)

    def to_xarray(self) -> xarray.Dataset:
        """Return an `xarray.Dataset` over layer, sigma and quantity.

        Raises
        ------
        UsageError
            pandas or xarray is not installed.
        """
        return data_set(self.to_pandas(), ("layer", "sigma", "quantity"))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot I(X;T) over sigma, by `layerbits.plots.sigma_profile`."""
        from layerbits.plots import sigma_profile  # imported here: plots imports estimators

        return sigma_profile(self, ax=ax)

    def _repr_html_(self) -> str:
        rows = [html_row(row, limit=self.limits.get(row.quantity, math.nan)) for row in self.rows]
        return html_table(("layer", "sigma", "quantity"), rows)

    def __repr__(self) -> str:
        sigmas = tuple(dict.fromkeys(row.sigma for row in self.rows))
        return f"SigmaProfile(layers={self.layers}, sigmas={sigmas})"

    def __str__(self) -> str:
        width = max((len(row.layer) for row in self.rows), default=0)
        symbols = max((8, *(len(row.quantity) for row in self.rows)))
        return "\n".join(
            f"{row.layer:<{width}}  {row.sigma:8.4g}  {row.quantity:<{symbols}}  {fixed(row.value):>9} {row.unit} "
            f"({fixed(row.lower)} to {fixed(row.upper)})" + (f"  ({row.note})" if row.note else "")
            for row in self.rows
        )
