"""Settings of the experiment estimator-comparison, and the rows of its table of estimates."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from layerbits.experiments.entropy.checks import require_ascending, require_enough_samples
from layerbits.experiments.entropy.entropy_estimators import ESTIMATORS
from layerbits.experiments.framework.configuration import (
    Configuration,
    require,
    require_distinct,
    require_positive,
    require_tolerance,
    require_within,
)


@dataclasses.dataclass(frozen=True)
class Config(Configuration):
    """Settings.

    Parameters
    ----------
    sigmas
        Standard deviations of the noise. Source: arXiv 1810.11589.
    dims
        Dimensions of the cube. Source: arXiv 1810.11589.
    spread
        Spread of the samples about the corners of the cube. Source: arXiv 1810.11589.
    estimators
        Estimators to compare.
    samples
        Numbers of samples. Source: arXiv 1810.11589, which goes to 10^7.
    max_neighbour_samples
        Largest number of samples for Kozachenko-Leonenko.
    max_kde_samples
        Largest number of samples for a KDE, whose work grows with the square.
    repeats
        Estimates for each number of samples.
    tolerance
        Half width of the interval of a plug-in estimate, in nats.
    neighbours
        Neighbours of Kozachenko-Leonenko; arXiv 1810.11589 does not say.
    folds
        Folds of the cross-validation of a bandwidth; arXiv 1810.11589 does not say.
    bin_size
        Size of the bins; arXiv 1810.11589 does not say.
    """

    sigmas: tuple[float, ...] = (0.05, 0.1, 0.2)
    dims: tuple[int, ...] = (5, 10)
    # The source is read as the standard deviation of a normal distribution before it is cut off at the faces of the
    # cube: this reading gives the entropies per dimension of the source, -.855, -.183 and .505.
    spread: float = 0.02
    estimators: tuple[str, ...] = ESTIMATORS
    samples: tuple[int, ...] = (10, 32, 100, 316, 1000, 3162, 10_000, 31_623, 100_000)
    max_neighbour_samples: int = 100_000
    max_kde_samples: int = 10_000
    repeats: int = 5
    tolerance: float = 0.005
    neighbours: int = 3
    folds: int = 5
    bin_size: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        not_numbers = ("seed", "estimators")
        require_positive(self, *(field.name for field in dataclasses.fields(self) if field.name not in not_numbers))
        require_distinct(self, "sigmas", "dims", "estimators")
        require_tolerance(self)
        require_within(self, sigmas=(0.01, 10), samples=(1, 2**24), repeats=(2, 10_000), bin_size=(1e-15, 10**6))
        require(self, "dims", max(self.dims) <= 16, "at most 16")
        require(self, "spread", self.spread <= 0.3, "at most 0.3, so that components are inside the cube")
        are_known = bool(self.estimators) and set(self.estimators) <= set(ESTIMATORS)
        require(self, "estimators", are_known, f"some of {', '.join(ESTIMATORS)}")
        require_ascending(self, "samples")
        require_enough_samples(self, samples=self.samples[0], neighbours=self.neighbours, folds=self.folds)


class EstimateRow(NamedTuple):
    """A row of estimates.csv; in nats.

    Standard error and ends are those of the numerical integration of a plug-in, NaN for other estimators.
    """

    estimator: str
    sigma: float
    dim: int
    samples: int
    repeat: int
    value: float
    standard_error: float
    lower: float
    upper: float
    truth: float
