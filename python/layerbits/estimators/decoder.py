"""`Decoder`: the base of the densities q(t|x) that are made of draws."""

from __future__ import annotations

import abc

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.log_densities import LogDensities, Queries, mixture_log_densities
from layerbits.statistics import ByCondition


class Decoder(abc.ABC):
    """Densities q(t|x) for all inputs x."""

    name: str

    def __init__(self, classes: Classes) -> None:
        self._classes = classes

    def log_densities(self, queries: Queries) -> LogDensities:
        """Return the log densities at queries; the decoder must not be made of the bases of the queries."""
        return mixture_log_densities(queries, self._classes, self._log_sums(queries), components=1)

    @abc.abstractmethod
    def _log_sums(self, queries: Queries) -> ByCondition[Doubles]:
        """Return log-sums over the densities of the query's input, of its class, and of all inputs, each (n, q)."""
