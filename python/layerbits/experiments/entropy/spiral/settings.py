"""Settings of the experiment spiral, and the rows of its table of estimates."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from layerbits.experiments.entropy.checks import require_ascending, require_enough_samples
from layerbits.experiments.framework.configuration import (
    Configuration,
    require,
    require_positive,
    require_tolerance,
    require_within,
)

CLASSES = 3
WIDTHS = (8, 9, 10)  # hidden layers, as in arXiv 1810.11589


@dataclasses.dataclass(frozen=True)
class Config(Configuration):
    """Settings; those without a source were chosen for layerbits.

    Parameters
    ----------
    sigma
        Standard deviation of the noise of each unit. Source: arXiv 1810.11589.
    points
        Points in the training set, and in the test set.
    epochs
        Epochs of the training, enough for the 98 % accuracy of arXiv 1810.11589.
    learning_rate
        Learning rate of Adam.
    batch_size
        Points of a step of the optimizer.
    evaluations
        Number of epochs at which loss and accuracy are computed, evenly spaced on a logarithmic axis.
    samples
        Numbers of samples of an entropy estimate.
    max_kde_samples
        Largest number of samples for a KDE, whose work grows with the square.
    repeats
        Estimates for each number of samples.
    reference_samples
        Samples of each plug-in estimate behind the interval for the true entropy.
    reference_repeats
        Number of these plug-in estimates.
    tolerance
        Half width of the interval of a plug-in estimate, in nats.
    neighbours
        Neighbours of Kozachenko-Leonenko.
    folds
        Folds of the cross-validation of a bandwidth.
    grid
        Points on each axis of the map of decisions.
    passes
        Noisy passes at each of these points.
    """

    sigma: float = 0.2
    points: int = 3000
    epochs: int = 300
    learning_rate: float = 0.01
    batch_size: int = 256
    evaluations: int = 30
    samples: tuple[int, ...] = (10, 32, 100, 316, 1000, 3162, 10_000, 31_623)
    max_kde_samples: int = 10_000
    repeats: int = 4
    reference_samples: int = 100_000
    reference_repeats: int = 4
    tolerance: float = 0.02
    neighbours: int = 3
    folds: int = 5
    grid: int = 80
    passes: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, *(field.name for field in dataclasses.fields(self) if field.name != "seed"))
        require_tolerance(self)
        require_within(
            self, sigma=(0.01, 100), points=(1, 2**20), evaluations=(2, 10**6), samples=(1, 2**20),
            repeats=(2, 10_000), reference_samples=(2, 2**24), reference_repeats=(3, 2**24), grid=(2, 2**24),
            passes=(1, 2**24),
        )  # fmt: skip
        fits_memory = self.reference_samples * self.reference_repeats <= 2**24
        require(self, "reference_samples", fits_memory, "at most 2^24 in all repeats together, for memory")
        fits_memory = self.grid**2 * self.passes <= 2**24
        require(self, "passes", fits_memory, "at most 2^24 at all grid^2 points together, for memory")
        require_ascending(self, "samples")
        require_enough_samples(self, samples=self.samples[0], neighbours=self.neighbours, folds=self.folds)


class EstimateRow(NamedTuple):
    """A row of estimates.csv; in nats.

    Standard error and ends are those of the numerical integration of a plug-in, NaN for other estimators.
    """

    estimator: str
    samples: int
    repeat: int
    value: float
    standard_error: float
    lower: float
    upper: float
