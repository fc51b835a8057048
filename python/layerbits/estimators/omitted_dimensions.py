"""`OmittedDimensions`: the cost of the dimensions that are left out behind noise, with its errors.

T = (T_1, T_2), and T_2 = S_2 + Z_2 of d_2 dimensions is left out. Information and entropies lose at most
h(T_2) - h(Z_2) <= E|S_2|^2 / (2 sigma^2) (`Subspace.coordinates`). For an information the mean over the passes of the
queries gets a Student margin, as the plug-in does; the allowance of its upper end for events that occur in no query
holds for all dimensions together. For an entropy each query has a term with a known largest value, and the end is a bet
on the sum of the terms of both parts (docs/theory.md).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.wide_density import assumed_radius
from layerbits.statistics import JackknifeMean


@dataclasses.dataclass(frozen=True)
class OmittedDimensions:
    """Squared distances, in units of sigma^2, of the signals of queries from the subspace that is kept.

    Attributes
    ----------
    squares : array of shape (n, q)
        |S_2|^2 / sigma^2.
    count : int
        Number of omitted dimensions, d_2.
    largest_square : float
        Upper bound of |S_2|^2 / sigma^2 over all signals; infinite if none is known.
    gaussian_terms : array of shape (n, q) or None
        Given S_2, the expectation of -log q(T_2) less h(Z_2) for a Gaussian density q that was made without the
        queries; None for the density of Z_2, whose terms are |S_2|^2 / (2 sigma^2).
    """

    squares: Doubles
    count: int
    largest_square: float = math.inf
    gaussian_terms: Doubles | None = None

    @classmethod
    def of(cls, dim: int, coordinates: Tensor, squared_distances: Tensor, sigma: float) -> OmittedDimensions | None:
        """Return the dimensions of `dim` that coordinates (..., k) omit, from squared distances (n, q) of the queries.

        None if there are none.
        """
        count = dim - coordinates.shape[-1]
        if count <= 0:
            return None
        return cls((squared_distances.double() / sigma / sigma).numpy(force=True), count)

    @property
    def narrow_terms(self) -> Doubles:
        """Terms (n, q) with an expectation of at least h(T_2) - h(Z_2)."""
        return self.squares / 2 if self.gaussian_terms is None else self.gaussian_terms

    def with_assumed_range(self, pilot: slice, final: slice) -> OmittedDimensions:
        """Return the dimensions with an assumed largest square if none is known.

        The range follows from the pilot passes of the queries, because the final ones enter the ends of entropies.
        """
        if math.isfinite(self.largest_square):
            return self
        distances = np.sqrt(self.squares)
        of_pilot, of_final = (float(distances[:, passes].max(initial=0.0)) for passes in (pilot, final))
        return dataclasses.replace(self, largest_square=assumed_radius(of_pilot, of_final, math.sqrt(self.count)) ** 2)

    def margin(self, risk: float) -> float:
        """Return a Student margin of this risk for the mean of the narrow terms."""
        return JackknifeMean.of_terms(self.narrow_terms).margin(risk)

    def terms(self, weight: float) -> Doubles:
        """Return terms (n, q) with an expectation of at least h(T_2) - h(Z_2); a wide density has the weight `weight`.

        Notes
        -----
        Let q be a mixture of the Gaussian density of the narrow terms and, with this weight, of the wide density
        N(0, (1 + w) sigma^2 I), with w the largest |S_2|^2 / (d_2 sigma^2). h(T_2) <= -E log q(T_2), and minus the
        logarithm of a sum is at most that of each part. Given S_2, the expectations of both parts less h(Z_2) are
        known; a term is the smaller one.
        """
        excess_variance = self.largest_square / self.count
        narrow_terms = self.narrow_terms - math.log1p(-weight)
        share = (self.squares / self.count + 1) / (1 + excess_variance)
        wide_terms = self.count / 2 * (math.log1p(excess_variance) + share - 1) - math.log(weight)
        smaller: Doubles = np.minimum(narrow_terms, wide_terms)
        return smaller

    def largest_term(self, weight: float) -> float:
        """Return an upper bound of the terms of all signals."""
        return self.count / 2 * math.log1p(self.largest_square / self.count) - math.log(weight)
