"""Means whose errors come from the jackknife."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from layerbits._base import Doubles
from layerbits.statistics.mean_bounds import student_margin


@dataclasses.dataclass(frozen=True)
class JackknifeMean:
    """A mean over inputs and queries, and how its terms of an input change when a part of them is left out."""

    value: float
    changes: tuple[Doubles, ...]  # (n, parts), one array for each independent sample that the value is made of

    @classmethod
    def of_terms(cls, terms: Doubles) -> JackknifeMean:
        """Return the mean of terms (n, q), independent given the input; with the error over inputs if q = 1."""
        values = terms if terms.shape[1] > 1 else terms.T
        changes = (values.mean(1, keepdims=True) - values) / max(1, values.shape[1] - 1)
        return cls(float(terms.mean()), (changes,))

    def minus(self, other: JackknifeMean, *, same_sample: bool) -> JackknifeMean:
        """Return the difference of two means, of one sample or of two independent ones."""
        if same_sample:
            pairs = zip(self.changes, other.changes, strict=True)
            return JackknifeMean(self.value - other.value, tuple(a - b for a, b in pairs))
        return JackknifeMean(self.value - other.value, (*self.changes, *(-sample for sample in other.changes)))

    @functools.cached_property
    def _variances(self) -> Doubles:
        """What each input brings to the variance, in each sample."""
        return np.concatenate([one.var(axis=1) * ((one.shape[1] - 1) / len(one) ** 2) for one in self.changes])

    @property
    def standard_error(self) -> float:
        """In nats, from all samples."""
        return math.sqrt(float(self._variances.sum()))

    def margin(self, risk: float) -> float:
        """Return the margin of a one-sided confidence bound; infinite for a single value."""
        return student_margin(self._variances, len(self.changes[0][0]) - 1, risk)

    @property
    def bias(self) -> float:
        """First-order bias in the number of draws, by the jackknife."""
        return math.fsum((sample.shape[1] - 1) * float(sample.mean()) for sample in self.changes)
