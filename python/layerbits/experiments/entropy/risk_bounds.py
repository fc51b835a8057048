"""The bounds of theory on the error of the plug-in entropy, as the table bounds.csv that several studies write."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from layerbits import theory


class Bound(NamedTuple):
    """A row of bounds.csv; in nats."""

    sigma: float
    dim: int
    samples: int
    bound: str
    value: float
    vacuous: int  # 1 where the bound says nothing


def risk_bounds(
    sigmas: Iterable[float], dims: Iterable[int], samples: Iterable[int], *, corners: bool = False
) -> Iterator[Bound]:
    """Yield the bounds for each sigma, dimension and number of samples; with `corners` for signals at corners, too."""
    for sigma, dim, n in itertools.product(sigmas, dims, samples):
        values = (
            {"finite support": theory.covering_risk_bound(n, dim=dim, sigma=sigma, atoms=2**dim)} if corners else {}
        )
        values["covering"] = theory.covering_risk_bound(n, dim=dim, sigma=sigma)
        values["paper"] = theory.plugin_risk_bound(n, dim=dim, sigma=sigma)
        for name, value in values.items():
            yield Bound(sigma, dim, n, name, value, int(theory.is_vacuous(value, dim=dim, sigma=sigma)))
