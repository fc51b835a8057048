"""Means with a standard error and a bias by the jackknife."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from layerbits._base import Doubles
from layerbits.statistics.mean_bounds import student_margin


@dataclasses.dataclass(frozen=True)
class JackknifeMean:
    """A mean over inputs and queries, with an error by the jackknife over parts of each input's draws or queries.

    Attributes
    ----------
    value : float
        The mean.
    changes : tuple of arrays of shape (n, parts)
        changes[i, p]: change of the mean term of input i when part p is left out. There is one array for each
        independent sample from which the value is computed.
    """

    value: float
    changes: tuple[Doubles, ...]

    @classmethod
    def of_terms(cls, terms: Doubles) -> JackknifeMean:
        """Return the mean of terms (n, q) that are independent given the input; if q = 1, the inputs are the parts."""
        values = terms if terms.shape[1] > 1 else terms.T
        changes = (values.mean(1, keepdims=True) - values) / max(1, values.shape[1] - 1)
        return cls(float(terms.mean()), (changes,))

    def minus(self, other: JackknifeMean, *, same_sample: bool) -> JackknifeMean:
        """Return the difference of two means, of the same sample or of two independent samples."""
        if same_sample:
            pairs = zip(self.changes, other.changes, strict=True)
            return JackknifeMean(self.value - other.value, tuple(a - b for a, b in pairs))
        return JackknifeMean(self.value - other.value, (*self.changes, *(-changes for changes in other.changes)))

    @functools.cached_property
    def _variances(self) -> Doubles:
        """Contributions to the variance of the value: one for each input of each sample."""
        return np.concatenate(
            [changes.var(axis=1) * ((changes.shape[1] - 1) / len(changes) ** 2) for changes in self.changes]
        )

    @property
    def standard_error(self) -> float:
        """Standard error of the value, from all samples."""
        return math.sqrt(float(self._variances.sum()))

    def margin(self, risk: float) -> float:
        """Return the margin of a one-sided Student bound of this risk; infinite for a single part."""
        return student_margin(self._variances, len(self.changes[0][0]) - 1, risk)

    @property
    def bias(self) -> float:
        """Jackknife estimate of the bias of first order in 1 / draws."""
        return math.fsum((changes.shape[1] - 1) * float(changes.mean()) for changes in self.changes)
