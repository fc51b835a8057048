"""Settings of the experiment sample-complexity."""

from __future__ import annotations

import dataclasses

from layerbits.experiments.entropy.checks import require_ascending
from layerbits.experiments.framework.configuration import (
    Configuration,
    require,
    require_distinct,
    require_positive,
    require_within,
)


@dataclasses.dataclass(frozen=True)
class Config(Configuration):
    """Settings.

    Parameters
    ----------
    sigmas
        Standard deviations of the noise; 0.15 flips a bit of a corner with probability 1e-11, 0.5 with 0.02.
    probabilities
        Probabilities that a bit is +1.
    dims
        Dimensions of the cube.
    samples
        Numbers of samples of a plug-in estimate.
    repeats
        Estimates for each number of samples.
    draws
        Queries at which the density of a plug-in estimate is compared with the true density.
    error
        Mean error in nats; the number of samples for it is computed.
    """

    sigmas: tuple[float, ...] = (0.5, 0.15)
    probabilities: tuple[float, ...] = (0.75, 0.5)
    dims: tuple[int, ...] = (1, 2, 4, 6, 8, 10)
    samples: tuple[int, ...] = tuple(2**power for power in range(2, 23))
    repeats: int = 64
    draws: int = 8192
    error: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, *(field.name for field in dataclasses.fields(self) if field.name != "seed"))
        require_distinct(self, "sigmas", "probabilities", "dims")
        require_within(
            self, sigmas=(0.01, 100), probabilities=(1e-6, 1 - 1e-6), repeats=(8, 10**6), draws=(2, 2**20),
            error=(1e-30, 1e30),
        )  # fmt: skip
        require(self, "dims", max(self.dims) <= 16, "at most 16, because the cube has 2^d corners")
        require_ascending(self, "samples")
        require(self, "samples", self.samples[0] >= 2, "at least 2")
