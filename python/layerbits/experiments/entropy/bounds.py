"""Bounds on the mean error of the plug-in entropy, as rows of the table bounds.csv."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from layerbits import theory


class Bound(NamedTuple):
    """A row of bounds.csv; in nats."""

    sigma: float
    dim: int
    samples: int
    bound: str
    value: float
    vacuous: int  # 1 if the bound is no less than the largest possible error


def _finite_support(samples: int, dim: int, sigma: float) -> float:
    return theory.covering_risk_bound(samples, dim=dim, sigma=sigma, atoms=2**dim)


def _covering(samples: int, dim: int, sigma: float) -> float:
    return theory.covering_risk_bound(samples, dim=dim, sigma=sigma)


def _paper(samples: int, dim: int, sigma: float) -> float:
    return theory.plugin_risk_bound(samples, dim=dim, sigma=sigma)


FINITE_SUPPORT, COVERING, PAPER = "finite support", "covering", "paper"
_BOUNDS: Mapping[str, Callable[[int, int, float], float]] = {
    FINITE_SUPPORT: _finite_support,
    COVERING: _covering,
    PAPER: _paper,
}
LINE_STYLES = {FINITE_SUPPORT: "--", COVERING: ":", PAPER: "-."}


def risk_bounds(
    names: Iterable[str], sigmas: Iterable[float], dims: Iterable[int], samples: Iterable[int]
) -> Iterator[Bound]:
    """Compute the bounds for each sigma, dimension and number of samples.

    Parameters
    ----------
    names : iterable of str
        `COVERING` and `PAPER` hold for signals in [-1, 1]^d, `FINITE_SUPPORT` for signals at its corners.
    sigmas, dims, samples : iterable
        Values of sigma, d and n.
    """
    for sigma, dim, n, name in itertools.product(sigmas, dims, samples, names):
        value = _BOUNDS[name](n, dim, sigma)
        yield Bound(sigma, dim, n, name, value, int(theory.is_vacuous(value, dim=dim, sigma=sigma)))
